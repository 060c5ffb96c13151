"""How much memory of released results to keep by default: what the environment asks for, else 128 MiB."""

import os

DEFAULT = 128 * 2**20


def default_buffer_limit() -> int:
    """Return the bytes kept until `set_buffer_limit` says otherwise.

    Returns
    -------
    int
        ``SOFTMAX_EXT_BUFFER_LIMIT`` if it is set, else 128 MiB.

    Raises
    ------
    ImportError
        If ``SOFTMAX_EXT_BUFFER_LIMIT`` is not a number of bytes.
    """
    asked = os.environ.get("SOFTMAX_EXT_BUFFER_LIMIT", "").strip()
    if not asked:
        return DEFAULT
    if not asked.isdecimal() or int(asked) >= 2**63:
        raise ImportError(f"SOFTMAX_EXT_BUFFER_LIMIT: got {asked!r}, expected a number of bytes, 0 or more")
    return int(asked)
