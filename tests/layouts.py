"""The same numbers in every way that memory can hold them: strides, alignment, byte order."""

import numpy as np


def shifted(a, by=1):
    """Return a copy of `a` whose address is not a multiple of its item's size."""
    buffer = np.empty(a.nbytes + a.itemsize, np.uint8)
    offset = by + -buffer.ctypes.data % a.itemsize
    view = buffer[offset : offset + a.nbytes].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def field(a):
    """Return a copy of `a` as a field of packed records: strides that are no multiple of the size."""
    records = np.zeros(a.shape, [("flag", "u1"), ("value", a.dtype)])
    records["value"] = a
    return records["value"]


def spread(a):
    """Return a copy of `a` with gaps between its elements."""
    view = np.full(tuple(3 * n for n in a.shape), 77, a.dtype)[tuple(slice(1, None, 3) for _ in a.shape)]
    view[...] = a
    return view


def reverse(a):
    """Return a copy of `a` with negative strides."""
    flip = (slice(None, None, -1),) * a.ndim
    return np.ascontiguousarray(a[flip])[flip]


def repeated(a):
    """Return a view whose last axis has a stride of 0: the first element, n times. Other numbers than those of `a`."""
    return np.broadcast_to(a[..., :1].copy(), a.shape)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.swapaxes(0, -1)).swapaxes(0, -1),
    "spread": spread,
    "reversed": reverse,
    "unaligned": shifted,
    "field": field,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "byte-swapped, unaligned": lambda a: shifted(a.astype(a.dtype.newbyteorder())),
    "byte-swapped, reversed": lambda a: reverse(a.astype(a.dtype.newbyteorder())),
}
