"""Which way a call takes through the C side, in words: `python -m softmax_ext --explain "softmax float32 128x1000"`."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np

import softmax_ext
import softmax_ext._core as _core

USAGE = (
    'expected "FUNCTION TYPE SHAPE [axis=N] [order=F] [where]", such as "softmax float32 128x1000 axis=-1"'
)


def explain(text: str) -> str:
    """Return the route that a call takes, in a line.

    Parameters
    ----------
    text : str
        The call: a function, a type, a shape, and what else there is to say of it, see `USAGE`.

    Returns
    -------
    str
        The name of the route, how the call is cut, and how arrays are read and written.

    Raises
    ------
    ValueError
        If the text is no such call.

    Examples
    --------
    >>> from softmax_ext._explain import explain
    >>> explain("softmax float64 1x10")
    'tiny: 1 tile of 1 row'
    """
    name, dtype, shape, *more = [*text.split(), "", "", ""]
    function = getattr(softmax_ext, name, None) if name in softmax_ext.__all__ else None
    if not callable(function) or not re.fullmatch(r"\d+(x\d+)*", shape):
        raise ValueError(f"explain: got {text!r}, {USAGE}")
    options = dict(option.partition("=")[::2] for option in more if option)
    unknown = set(options) - {"axis", "order", "where"}
    if unknown or options.get("order", "C") not in ("C", "F"):
        raise ValueError(f"explain: got {text!r}, {USAGE}")
    try:
        x = np.zeros([int(size) for size in shape.split("x")], _type(dtype), order=options.get("order", "C"))  # type: ignore[call-overload]
        axis = int(options.get("axis", "-1"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"explain: got {text!r}: {error}; {USAGE}") from error
    arguments, keywords = _arguments(function, x)
    if "axis" in inspect.signature(function).parameters:
        keywords["axis"] = axis
    if "where" in options:
        keywords["where"] = np.ones(x.shape, bool)
    line: str = _core._explain(function, *arguments, **keywords)
    return line


def _type(name: str) -> Any:
    """Return the type of that name; bfloat16 is ml_dtypes'."""
    if name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return np.dtype(name)


def _arguments(function: Callable[..., Any], x: np.ndarray[Any, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return zeros for each argument of the function that has no default."""
    arguments: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.name == "labels":
            arguments.append(np.zeros(x.shape[:-1], np.intp))
        elif parameter.name == "indptr":
            arguments.append(np.linspace(0, len(x), min(len(x), 8) + 1).astype(np.intp))
        else:
            arguments.append(x)
    return arguments, {}
