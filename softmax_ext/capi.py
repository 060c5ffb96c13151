"""The functions for compiled code: Cython, Numba, C. They need no GIL and start no thread.

======================================  ============================================
function, ``_f32`` or ``_f64``          result, with the bits of
======================================  ============================================
``softmax(x, out, rows, n)``            `softmax_ext.softmax`
``log_softmax(x, out, rows, n)``        `softmax_ext.log_softmax`
``logsumexp(x, out, rows, n)``          `softmax_ext.logsumexp`: `rows` numbers
``softmax_vjp(y, g, out, rows, n)``     `softmax_ext.softmax_vjp`
``log_softmax_vjp(y, g, out, rows, n)`` `softmax_ext.log_softmax_vjp`
======================================  ============================================

Arrays are pointers to aligned float (``_f32``) or double (``_f64``): `rows` rows of `n` numbers, one after the other.
`rows` and `n` are ``Py_ssize_t``. `out` may be an input, but must not overlap one in any other way. The functions
return 0, or -1 if there was no memory for the working blocks of long rows; nothing else can fail. Any number of
threads may call them at once.

In Cython: ``from softmax_ext.capi cimport softmax_f64``, with the package installed; capi.pxd has the declarations.
In Numba: ``numba.extending.get_cython_function_address("softmax_ext.capi", "softmax_f64")``.
In C: `__pyx_capi__` is a dict of capsules that hold the functions' addresses.
docs/recipes.md has a program for Cython and one for Numba.
"""

from softmax_ext._core import __pyx_capi__

__all__ = ["__pyx_capi__"]
