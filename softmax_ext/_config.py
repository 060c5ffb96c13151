"""What this build is and what it found on this machine."""

from __future__ import annotations

from typing import Any, Literal, overload

from softmax_ext import _core
from softmax_ext._version import __version__


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show the version, the instruction sets, the compiler, the OpenMP runtime, and the limits in force.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default "stdout"
        Whether to print it, or to return it.

    Returns
    -------
    dict or None
        With "dicts": ``version``; ``isa``, the instruction set level in use; ``isa_available``, the levels that this
        machine can run, from the plainest to the best; ``compiler``; ``openmp``, the runtime that this was built for
        and the date of the specification, or None for a serial build; ``threads``, as from `get_num_threads`;
        ``calls_together`` and ``calls_alone``, how many calls so far have used several threads, and how many that
        could have went alone, since other programs or other Python threads kept the CPUs busy;
        ``buffer_limit``, as from `get_buffer_limit`.

    Raises
    ------
    ValueError
        If `mode` is neither.

    Examples
    --------
    >>> import softmax_ext
    >>> softmax_ext.show_config(mode="dicts")["isa"] in ("scalar", "sse2", "avx2", "avx512", "neon")
    True
    """
    if not (isinstance(mode, str) and mode in ("stdout", "dicts")):
        raise ValueError(f"mode: got {_core._shown(mode)}, expected 'stdout' or 'dicts'")
    config = {"version": __version__, **_core._build_info()}
    if mode == "dicts":
        return config
    for key, value in config.items():
        if key == "openmp" and value is None:
            value = "none: built without OpenMP, every call is serial"
        if key == "isa" and not _core._has_fma():
            value += ": no instruction for fused multiply-adds, which makes every call several times slower"
        print(f"{key + ':':16}{', '.join(value) if isinstance(value, list) else value}")
    return None
