"""How much memory of released results to keep by default: what the environment asks for, else 128 MiB."""

import os

DEFAULT = 128 * 2**20
MOST = 2**63 - 1


def default_buffer_limit() -> int:
    """Return the bytes kept until `set_buffer_limit` says otherwise.

    Returns
    -------
    int
        ``SOFTMAX_EXT_BUFFER_LIMIT`` if it is set, else 128 MiB.

    Raises
    ------
    ImportError
        If ``SOFTMAX_EXT_BUFFER_LIMIT`` is not a number of bytes from 0 to 2**63 - 1.
    """
    asked = os.environ.get("SOFTMAX_EXT_BUFFER_LIMIT", "").strip()
    if not asked:
        return DEFAULT
    # Python refuses to read thousands of digits.
    if not asked.isdecimal() or len(asked) > 100 or int(asked) > MOST:
        raise ImportError(
            f"SOFTMAX_EXT_BUFFER_LIMIT: got {asked[:100]!r}, expected a number of bytes from 0 to {MOST}"
        )
    return int(asked)
