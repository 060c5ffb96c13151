from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

_Out = TypeVar("_Out", bound=NDArray[Any])
_Axis: TypeAlias = int | tuple[int, ...] | None
_Mask: TypeAlias = ArrayLike  # of bool

def _isa_available() -> list[str]: ...
def _set_isa(name: str) -> str: ...
def _explain(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str: ...
def _route_names() -> tuple[tuple[str, ...], tuple[str, ...]]: ...
def _set_routes(off: Iterable[str] = ()) -> None: ...
def _operation_names() -> list[str]: ...
def _always_use_threads(always: bool) -> None: ...

class _Policy:
    is_settled: bool
    rest: int
    def width(self, now: int, limit: int) -> int: ...
    def learn(self, now: int, took: int, serial: int, width: int, is_crowded: bool = False) -> None: ...

def _build_info() -> dict[str, Any]: ...
def _array_and_axis(
    value: ArrayLike, axis: SupportsIndex, name: str, unmask: str
) -> tuple[NDArray[Any], int, np.dtype[Any]]: ...
def _segmented_array(value: ArrayLike, name: str, unmask: str) -> NDArray[Any]: ...
def _as_array(
    value: ArrayLike, name: str, unmask: str = ..., empty: DTypeLike | None = None
) -> NDArray[Any]: ...
def _flag(value: object, name: str) -> bool: ...
def _described(value: object, array: NDArray[Any]) -> str: ...
def _segment_softmax(x: NDArray[Any], indptr: NDArray[np.intp], out: _Out | None) -> NDArray[Any]: ...
def _segment_log_softmax(x: NDArray[Any], indptr: NDArray[np.intp], out: _Out | None) -> NDArray[Any]: ...
def _segment_softmax_vjp(
    y: NDArray[Any], g: ArrayLike, indptr: NDArray[np.intp], out: _Out | None
) -> NDArray[Any]: ...
def _segment_log_softmax_vjp(
    y: NDArray[Any], g: ArrayLike, indptr: NDArray[np.intp], out: _Out | None
) -> NDArray[Any]: ...
def _real_array(value: ArrayLike, name: str, unmask: str = ...) -> NDArray[Any]: ...
def _shown(value: object) -> str: ...
def _integer(value: Any, name: str) -> int: ...
def _real_number(value: Any, name: str, expected: str) -> float: ...
def _row_losses(
    x: NDArray[Any],
    axis: int,
    weight: NDArray[Any] | None,
    q: NDArray[Any] | None,
    label: NDArray[Any] | None,
    factor: NDArray[Any] | None,
    targets: tuple[float, float, float],
    with_gradient: bool,
) -> tuple[NDArray[Any], NDArray[Any] | None]: ...
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
def set_buffer_limit(n: int) -> None: ...
def get_buffer_limit() -> int: ...
def _buffers_held() -> int: ...
@overload
def softmax(
    x: ArrayLike,
    axis: _Axis = -1,
    *,
    out: None = None,
    dtype: DTypeLike | None = None,
    where: _Mask | None = None,
    temperature: float = 1.0,
) -> NDArray[Any]: ...
@overload
def softmax(
    x: ArrayLike,
    axis: _Axis = -1,
    *,
    out: _Out,
    dtype: DTypeLike | None = None,
    where: _Mask | None = None,
    temperature: float = 1.0,
) -> _Out: ...
@overload
def log_softmax(
    x: ArrayLike,
    axis: _Axis = -1,
    *,
    out: None = None,
    dtype: DTypeLike | None = None,
    where: _Mask | None = None,
    temperature: float = 1.0,
) -> NDArray[Any]: ...
@overload
def log_softmax(
    x: ArrayLike,
    axis: _Axis = -1,
    *,
    out: _Out,
    dtype: DTypeLike | None = None,
    where: _Mask | None = None,
    temperature: float = 1.0,
) -> _Out: ...
@overload
def logsumexp(
    x: ArrayLike,
    axis: _Axis = -1,
    *,
    keepdims: bool = False,
    out: None = None,
    dtype: DTypeLike | None = None,
    where: _Mask | None = None,
) -> Any: ...
@overload
def logsumexp(
    x: ArrayLike,
    axis: _Axis = -1,
    *,
    keepdims: bool = False,
    out: _Out,
    dtype: DTypeLike | None = None,
    where: _Mask | None = None,
) -> _Out: ...
@overload
def softmax_vjp(
    y: ArrayLike, g: ArrayLike, axis: _Axis = -1, *, out: None = None, where: _Mask | None = None
) -> NDArray[Any]: ...
@overload
def softmax_vjp(
    y: ArrayLike, g: ArrayLike, axis: _Axis = -1, *, out: _Out, where: _Mask | None = None
) -> _Out: ...
@overload
def log_softmax_vjp(
    y: ArrayLike, g: ArrayLike, axis: _Axis = -1, *, out: None = None, where: _Mask | None = None
) -> NDArray[Any]: ...
@overload
def log_softmax_vjp(
    y: ArrayLike, g: ArrayLike, axis: _Axis = -1, *, out: _Out, where: _Mask | None = None
) -> _Out: ...
@overload
def softmax_jvp(
    y: ArrayLike, v: ArrayLike, axis: _Axis = -1, *, out: None = None, where: _Mask | None = None
) -> NDArray[Any]: ...
@overload
def softmax_jvp(
    y: ArrayLike, v: ArrayLike, axis: _Axis = -1, *, out: _Out, where: _Mask | None = None
) -> _Out: ...
@overload
def log_softmax_jvp(
    y: ArrayLike, v: ArrayLike, axis: _Axis = -1, *, out: None = None, where: _Mask | None = None
) -> NDArray[Any]: ...
@overload
def log_softmax_jvp(
    y: ArrayLike, v: ArrayLike, axis: _Axis = -1, *, out: _Out, where: _Mask | None = None
) -> _Out: ...
