"""Types that several signatures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

#: Types of arrays that results keep. That of ml_dtypes is kept, too, but counts as Any here.
Float = TypeVar("Float", bound=np.float16 | np.float32 | np.float64)
Out = TypeVar("Out", bound=NDArray[Any])

Integer: TypeAlias = np.integer[Any] | np.bool
Vector: TypeAlias = Sequence[float]
#: What has one dimension or more, and results of float64.
Float64Like: TypeAlias = (
    NDArray[Integer]
    | Vector
    | Sequence[Vector]
    | Sequence[Sequence[Vector]]
    | Sequence[Sequence[Sequence[Vector]]]
)
#: Likewise without a dimension.
Float64Scalar: TypeAlias = float | Integer

Axis: TypeAlias = SupportsIndex | tuple[SupportsIndex, ...] | None
Real: TypeAlias = SupportsFloat | SupportsIndex
Reduction: TypeAlias = Literal["mean", "sum", "none"]
