# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""The compiled module. A public function turns its arguments into a plan (csrc/plan.h) and makes one call into C.

The public functions and their docstrings are in this file; what they share is included from files of one subject each.
A call on plain contiguous arrays takes the fast path (_fast_path.pxi), most calls on arrays in other layouts a short
one (_strided_path.pxi), every other call the general one (_general_path.pxi). No element is looked at here: that is
the work of the C side.
"""

cimport numpy as cnp

import numpy as np

from softmax_ext._csrc cimport (
    SMX_LOGSUMEXP, SMX_LOG_SOFTMAX, SMX_LOG_SOFTMAX_JVP, SMX_LOG_SOFTMAX_LOGSUMEXP, SMX_LOG_SOFTMAX_VJP,
    SMX_SIGNED_LOGSUMEXP, SMX_SOFTMAX, SMX_SOFTMAX_ENTROPY, SMX_SOFTMAX_LOGSUMEXP, SMX_SOFTMAX_VJP,
    SMX_WEIGHTED_LOGSUMEXP, smx_get_buffer_limit, smx_get_threads, smx_set_buffer_limit, smx_set_threads,
)

cnp.import_array()

include "_settings.pxi"
include "_memory.pxi"
include "_types.pxi"
include "_arrays.pxi"
include "_arguments.pxi"
include "_routes.pxi"
include "_plan.pxi"
include "_fast_path.pxi"
include "_strided_path.pxi"
include "_general_path.pxi"
include "_losses.pxi"
include "_capi.pxi"

_initialize()


# ---- threads and memory ---------------------------------------------------------------------------------------------

def set_num_threads(n):
    """Set the number of threads that later calls may use.

    Small calls stay on one thread whatever the number is. Without OpenMP, inside another OpenMP region, and in a
    process made by ``fork``, every call runs on one.

    Parameters
    ----------
    n : int
        A positive number. It may exceed the number of CPUs.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> import softmax_ext
    >>> before = softmax_ext.get_num_threads()
    >>> softmax_ext.set_num_threads(1)
    >>> softmax_ext.get_num_threads()
    1
    >>> softmax_ext.set_num_threads(before)
    """
    number = _integer(n, "n")
    if not 1 <= number <= 1 << 16:
        raise ValueError(f"n: got {_shown(number)}, expected a number of threads from 1 to {1 << 16}")
    smx_set_threads(number)


def get_num_threads():
    """The number of threads that a call made now may use.

    Returns
    -------
    int
        What `set_num_threads` or the start set (``SOFTMAX_EXT_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the CPUs
        that this process may use), or less where the OpenMP runtime has been limited, as by threadpoolctl; 1 where
        every call is serial.

    Examples
    --------
    >>> import softmax_ext
    >>> softmax_ext.get_num_threads() >= 1
    True
    """
    return smx_get_threads()


def set_buffer_limit(n):
    """Set how much memory of released results is kept for later ones.

    A new large array costs more than the softmax that fills it: the system has to find, clear and map its pages. So
    the memory of a result of 1 MiB or more does not go back to the system at once when the array is released; the next
    result of about that size gets it. Never more than this limit is kept; arrays in use do not count.

    Parameters
    ----------
    n : int
        Bytes. 0 keeps nothing. Memory kept beyond a new limit goes back at once. The limit at the start is
        ``SOFTMAX_EXT_BUFFER_LIMIT``, else 128 MiB.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is negative.

    See Also
    --------
    get_buffer_limit

    Examples
    --------
    >>> import softmax_ext
    >>> before = softmax_ext.get_buffer_limit()
    >>> softmax_ext.set_buffer_limit(0)
    >>> softmax_ext.set_buffer_limit(before)
    """
    number = _integer(n, "n")
    if not 0 <= number <= MAX_BUFFER_LIMIT:
        raise ValueError(f"n: got {_shown(number)}, expected a number of bytes from 0 to {MAX_BUFFER_LIMIT}")
    smx_set_buffer_limit(number)


def get_buffer_limit():
    """The most memory of released results that is kept.

    Returns
    -------
    int
        Bytes, as `set_buffer_limit` or the start set it.

    Examples
    --------
    >>> import softmax_ext
    >>> softmax_ext.get_buffer_limit() >= 0
    True
    """
    return smx_get_buffer_limit()


# ---- softmax and its family -----------------------------------------------------------------------------------------

def softmax(
    x, axis=-1, *, out=None, dtype=None, where=None, temperature=1.0, initial=None, return_logsumexp=False
):
    r"""Softmax along an axis: exponentials that sum to 1.

    .. math:: y_i = \frac{\exp(x_i / T)}{\exp(i) + \sum_j \exp(x_j / T)}

    i, `initial`, is -inf unless it is given.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers, such as logits. float32 and float64 are computed in their own type; float16 and
        `ml_dtypes.bfloat16` in float32, and the result is rounded to them once; bool and integers become float64. Any
        strides, byte order and alignment are read in place. A masked array is refused: pass its data and its mask, as
        `where`.
    axis : int, tuple of ints or None, default -1
        The axis or axes along which the result sums to 1; None for the whole array.
    out : ndarray, optional
        Where to put the result, of `x`'s shape. It may be `x` itself, or overlap it. The result is cast to its type
        under the rule "same_kind".
    dtype : dtype, optional
        Type of the result, float16, bfloat16, float32 or float64; the arithmetic is done in float64 if this or `x` is
        of that type, else in float32. Default: `x`'s own type, float64 for bool and integers.
    where : array_like of bool, optional
        Which elements take part; broadcasts to `x`'s shape, without being copied. Hidden elements are never looked at,
        be they NaN, and their results are 0: all results of a row in which nothing is left. The visible elements have
        the bits that they would have if the hidden ones were -inf.
    temperature : float, default 1.0
        T: what `x` is divided by; the quotient is never rounded, so that the result is as accurate as without. Below 1
        it sharpens the distribution, above 1 it flattens it. From 2**-900 to 2**900; at extremes (below 2**-90 or above
        2**100) the arithmetic is done in float64.
    initial : array_like, optional
        The logarithm of what each row's sum of exponentials starts at, such as an attention sink: a share of each row
        that goes to none of its elements. It broadcasts to `x`'s shape with length 1 along the axis, is taken as a
        number of the type of the arithmetic, and is not divided by T. 0 gives "softmax off by one"; -inf, like None,
        adds nothing.
    return_logsumexp : bool, default False
        If True, return the logarithm of each row's sum as well: what `logsumexp` returns for these arguments.

    Returns
    -------
    ndarray or scalar
        Of `x`'s shape, a scalar if that has no dimension. Each element is within 1.5 ULP of the true value (of
        float16 and bfloat16, that value rounded). `out` if that was given. A row that holds a NaN or +inf, or
        nothing but -inf, is all NaN; -inf beside finite numbers gives 0. A NaN or +inf as `initial` makes its row NaN,
        and beside a finite one a row of nothing but -inf is 0. No warning is raised. The last bit of a result may
        depend on `return_logsumexp`.
    logsumexp : ndarray or scalar
        Of `x`'s shape without the axis. Only with `return_logsumexp`.

    Raises
    ------
    TypeError
        If `x` is complex, of extended precision, or no array of real numbers; if `dtype` is another type than those
        named; if `out` is no array, or of a type that the result can't be cast to; if `axis` holds no integer; if
        `where` is not of type bool; if `temperature` is no number; if `initial` holds no real numbers.
    ValueError
        If `out` is read-only or of the wrong shape, an axis is repeated, `where` or `initial` does not broadcast, or
        `temperature` is not a positive finite number.
    numpy.exceptions.AxisError
        If `x` lacks the axis.

    See Also
    --------
    log_softmax : Its logarithm, without the loss of a separate log.
    softmax_vjp : Its derivative.

    Notes
    -----
    Gibbs' distribution (1902); the name and its use in neural networks are Bridle's (1990). The same row gives the same
    bits in any array, layout, number of threads and on any machine with a fused multiply-add.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import softmax
    >>> softmax(np.array([[0.0, np.log(3.0)], [1000.0, 1000.0]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    >>> softmax([[0.0, np.nan], [5.0, 5.0]], where=[[True, False], [True, True]])
    array([[1. , 0. ],
           [0.5, 0.5]])
    >>> softmax(np.zeros(3), initial=0.0)
    array([0.25, 0.25, 0.25])
    """
    cdef double divisor = _temperature(temperature)
    cdef int row_axis = _simple_axis(axis, x)
    cdef int op = SMX_SOFTMAX
    initial = _simple_number(initial)
    if return_logsumexp is not False and _flag(return_logsumexp, "return_logsumexp"):
        op = SMX_SOFTMAX_LOGSUMEXP
    if _is_simple_map(x, row_axis, where, out, dtype, divisor) and _is_simple_with_sums(
        op, initial, <cnp.ndarray>x, row_axis, out
    ):
        return _run_fast(op, <cnp.ndarray>x, None, where, out, row_axis, divisor, False, initial, None)
    return _run_map(op, x, axis, where, out, dtype, False, divisor, None, initial)


def log_softmax(
    x, axis=-1, *, out=None, dtype=None, where=None, temperature=1.0, initial=None, return_logsumexp=False
):
    r"""Logarithm of the softmax along an axis, accurate at every element.

    .. math:: y_i = x_i / T - \log \left(\exp(i) + \sum_j \exp(x_j / T)\right)

    i, `initial`, is -inf unless it is given.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers, as for `softmax`.
    axis : int, tuple of ints or None, default -1
        The axis or axes along which the exponentials of the result sum to 1; None for the whole array.
    out : ndarray, optional
        Where to put the result, as for `softmax`.
    dtype : dtype, optional
        Type of the result, as for `softmax`.
    where : array_like of bool, optional
        Which elements take part, as for `softmax`; the results of hidden elements are -inf.
    temperature : float, default 1.0
        T, as for `softmax`.
    initial : array_like, optional
        The exponent i, as for `softmax`.
    return_logsumexp : bool, default False
        If True, return the logarithm of each row's sum as well: what `logsumexp` returns for these arguments.

    Returns
    -------
    ndarray or scalar
        Of `x`'s shape, a scalar if that has no dimension. Each element is within 1.5 ULP of the true value, also
        where it is close to 0. `out` if that was given. A row that holds a NaN or +inf, or nothing but -inf, is all
        NaN; -inf beside finite numbers, or beside a finite `initial`, gives -inf.
    logsumexp : ndarray or scalar
        Of `x`'s shape without the axis. Only with `return_logsumexp`.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does.

    See Also
    --------
    softmax, logsumexp
    log_softmax_vjp : Its derivative.

    Notes
    -----
    At the maximum the result is -log1p(the sum of the others, relative to it), which is how it is computed: a sum that
    held the maximum's 1 would have lost the others.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import log_softmax
    >>> log_softmax(np.array([0.0, -50.0]))
    array([-1.92874985e-22, -5.00000000e+01])
    """
    cdef double divisor = _temperature(temperature)
    cdef int row_axis = _simple_axis(axis, x)
    cdef int op = SMX_LOG_SOFTMAX
    initial = _simple_number(initial)
    if return_logsumexp is not False and _flag(return_logsumexp, "return_logsumexp"):
        op = SMX_LOG_SOFTMAX_LOGSUMEXP
    if _is_simple_map(x, row_axis, where, out, dtype, divisor) and _is_simple_with_sums(
        op, initial, <cnp.ndarray>x, row_axis, out
    ):
        return _run_fast(op, <cnp.ndarray>x, None, where, out, row_axis, divisor, False, initial, None)
    return _run_map(op, x, axis, where, out, dtype, False, divisor, None, initial)


def logsumexp(
    x, axis=-1, *, keepdims=False, out=None, dtype=None, where=None, b=None, return_sign=False, initial=None,
    temperature=1.0
):
    r"""Logarithm of the sum of exponentials along an axis.

    .. math:: \log \left(\exp(i) + \sum_j b_j \exp(x_j / T)\right)

    i, `initial`, is -inf unless it is given, and each weight :math:`b_j` is 1.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers, as for `softmax`.
    axis : int, tuple of ints or None, default -1
        The axis or axes that are summed over; None for the whole array.
    keepdims : bool, default False
        If True, the axes summed over stay in the result, with length 1.
    out : ndarray, optional
        Where to put the result, of its shape.
    dtype : dtype, optional
        Type of the result, as for `softmax`.
    where : array_like of bool, optional
        Which elements take part, as for `softmax`.
    b : array_like, optional
        Weights of the terms: real numbers of any size and sign. `x` and `b` broadcast with each other, and their types
        promote as NumPy promotes them. A weight of 0 removes its term, even one that is infinite or NaN.
    return_sign : bool, default False
        If True, return a pair: the logarithm of the sum's size, and the sum's sign.
    initial : array_like, optional
        The exponent i, as for `softmax`: one more term, such as the result for other elements of the row. It has no
        weight.
    temperature : float, default 1.0
        T, as for `softmax`; `initial` is not divided by it.

    Returns
    -------
    ndarray or scalar
        Within 2 ULP of the largest of the result, \|x / T\| and \|i\|; `out` if that was given. A NaN in a row
        gives NaN, and +inf without a NaN gives +inf. A row gives `initial`, or -inf without one, if it has no elements,
        if `where` leaves none, or if all are -inf. With weights, the result is NaN if the sum is negative (unless its
        sign is returned) or if infinite terms cancel, and -inf if the sum is 0.
    sign : ndarray or scalar
        1 or -1; 0 if the sum is 0, and NaN if the first result is NaN. It has the first result's shape. Only with
        `return_sign`.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; TypeError also if `b` holds no real numbers, ValueError if `b` and `x` do not broadcast.

    Notes
    -----
    `b` and `return_sign` mean what they mean in ``scipy.special.logsumexp``. No product of a weight and an exponential
    is out of range on the way: the exponent of the weight is added to that of the exponential. Where terms cancel, the
    error is larger by the ratio of the sum of their sizes to the size of their sum. The unit of the error is the ULP of
    the largest of these: the result; \|x / T\| and \|log\|b\|\| of the terms that are at least half as large as the
    largest one; and the share that all terms but the largest have in the sum of sizes.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import logsumexp
    >>> logsumexp([1000.0, 999.0], b=[1.0, -1.0])  # the logarithm of a difference
    np.float64(999.5413248546129)
    >>> logsumexp([0.0, 0.0], b=[1.0, -3.0], return_sign=True)
    (np.float64(0.6931471805599453), np.float64(-1.0))
    >>> logsumexp(np.array([[1000.0, 1000.0], [0.0, -np.inf]]))
    array([1000.69314718,    0.        ])
    >>> x = np.arange(6.0)
    >>> logsumexp(x[3:], initial=logsumexp(x[:3])), logsumexp(x)
    (np.float64(5.456193316018123), np.float64(5.456193316018123))
    """
    cdef double divisor = _temperature(temperature)
    cdef int row_axis = _simple_axis(axis, x)
    cdef int op = SMX_WEIGHTED_LOGSUMEXP
    initial = _simple_number(initial)
    cdef bint is_simple = _is_simple_reduction(
        x, row_axis, keepdims, where, out, dtype, divisor
    ) and _is_simple_initial(initial, <cnp.ndarray>x, row_axis, out)
    if b is not None or return_sign is not False:
        if _flag(return_sign, "return_sign"):
            op = SMX_SIGNED_LOGSUMEXP
        if is_simple and _are_simple_weights(op, b, x, out):
            return _run_fast(op, <cnp.ndarray>x, b, where, out, row_axis, divisor, keepdims, initial, None)
        return _run_weighted(
            op, x, b, axis, where, out, dtype, _flag(keepdims, "keepdims"), divisor, initial
        )
    if is_simple:
        return _run_fast(
            SMX_LOGSUMEXP, <cnp.ndarray>x, None, where, out, row_axis, divisor, keepdims, initial, None
        )
    return _run_map(
        SMX_LOGSUMEXP, x, axis, where, out, dtype, _flag(keepdims, "keepdims"), divisor, None, initial
    )


def softmax_entropy(x, axis=-1, *, keepdims=False, out=None, dtype=None, where=None, temperature=1.0):
    r"""Entropy of the softmax along an axis, in nats, accurate also where it is close to 0.

    .. math:: -\sum_i p_i \log p_i, \quad p = \mathrm{softmax}(x / T)

    Parameters
    ----------
    x : array_like, any shape
        Real numbers, as for `softmax`.
    axis : int, tuple of ints or None, default -1
        The axis or axes along which the probabilities sum to 1; None for the whole array.
    keepdims : bool, default False
        If True, these axes stay in the result, with length 1.
    out : ndarray, optional
        Where to put the result, of its shape.
    dtype : dtype, optional
        Type of the result, as for `softmax`.
    where : array_like of bool, optional
        Which elements take part, as for `softmax`.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    ndarray or scalar
        Within 4 u (two machine epsilons) of the true value, relative to it; `out` if that was given. From 0, all on one
        element, to the logarithm of the number of elements, all alike. NaN if there is a NaN or +inf, or nothing but
        -inf; 0 if nothing is there, or left by `where`. An element of -inf beside finite ones adds 0.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does.

    See Also
    --------
    log_softmax : The logarithms of the probabilities.

    Notes
    -----
    With z, the sum of the other exponentials relative to that of the maximum, the entropy is log1p(z) plus a mean of
    (max - x) / T: no term is negative, so nothing cancels. `x` is read once; no probability is stored.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import softmax_entropy
    >>> softmax_entropy(np.array([[0.0, 0.0], [0.0, -50.0]]))
    array([6.93147181e-01, 9.83662422e-21])
    """
    cdef double divisor = _temperature(temperature)
    cdef int row_axis = _simple_axis(axis, x)
    if _is_simple_reduction(x, row_axis, keepdims, where, out, dtype, divisor):
        return _run_fast(
            SMX_SOFTMAX_ENTROPY, <cnp.ndarray>x, None, where, out, row_axis, divisor, keepdims, None, None
        )
    return _run_map(SMX_SOFTMAX_ENTROPY, x, axis, where, out, dtype, _flag(keepdims, "keepdims"), divisor)


def softmax_vjp(y, g, axis=-1, *, out=None, where=None, temperature=1.0):
    r"""Vector-Jacobian product of softmax: the gradient at its input, from that at its output.

    .. math::
        \left(g^T J\right)_i = \frac{y_i}{T} \left(g_i - \sum_j y_j g_j\right), \quad
        J = \frac{\mathrm{diag}(y) - y y^T}{T}

    Parameters
    ----------
    y : array_like, any shape
        What `softmax` returned, with the same temperature.
    g : array_like
        The gradient at `y`; broadcasts to its shape.
    axis : int, tuple of ints or None, default -1
        The axis that softmax was taken along.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `g` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `softmax`; broadcasts to `y`'s shape. The gradient at hidden elements is 0,
        whatever `y` and `g` hold there.
    temperature : float, default 1.0
        T: what the input of the forward function was divided by. The result is that of the input itself, 1 / T times as
        large. From 2**-900 to 2**900, as for `softmax`.

    Returns
    -------
    ndarray or scalar
        Of `y`'s shape and of the type that the two promote to; `out` if that was given. Each element is within 6 u of
        y (\|g\| + sum of y \|g\|) / T, u being half the machine epsilon. A result that can be represented is right also
        where sums or products on the way cannot.
        A scalar if `y` has no dimension.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `g` or `where` does not broadcast to `y`.

    Notes
    -----
    The Jacobian is symmetric, so this is the Jacobian-vector product as well.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import softmax_vjp
    >>> softmax_vjp(np.array([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.1875, -0.1875])
    """
    cdef double divisor = _temperature(temperature)
    cdef int row_axis = _simple_axis(axis, y)
    if _is_simple_derivative(y, g, row_axis, where, out, divisor):
        return _run_fast(
            SMX_SOFTMAX_VJP, <cnp.ndarray>y, <cnp.ndarray>g, where, out, row_axis, divisor, False, None, None
        )
    return _run_derivative(SMX_SOFTMAX_VJP, y, g, "g", axis, where, out, divisor)


def log_softmax_vjp(y, g, axis=-1, *, out=None, where=None, temperature=1.0):
    r"""Vector-Jacobian product of log-softmax: the gradient at its input, from that at its output.

    .. math:: \frac{1}{T} \Bigl(g_i - \exp(y_i) \sum_j g_j\Bigr)

    Parameters
    ----------
    y : array_like, any shape
        What `log_softmax` returned, with the same temperature.
    g : array_like
        The gradient at `y`; broadcasts to its shape.
    axis : int, tuple of ints or None, default -1
        The axis that log-softmax was taken along.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `g` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `log_softmax`; broadcasts to `y`'s shape. The gradient at hidden elements is 0,
        whatever `y` and `g` hold there.
    temperature : float, default 1.0
        T: what the input of the forward function was divided by. The result is that of the input itself, 1 / T times as
        large. From 2**-900 to 2**900, as for `softmax`.

    Returns
    -------
    ndarray or scalar
        Of `y`'s shape and of the type that the two promote to; `out` if that was given. Each element is within 6 u of
        (\|g\| + p sum of \|g\|) / T, p = exp(y) and u being half the machine epsilon.
        A scalar if `y` has no dimension.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `g` or `where` does not broadcast to `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import log_softmax_vjp
    >>> log_softmax_vjp(np.log([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.75, -0.75])
    """
    cdef double divisor = _temperature(temperature)
    cdef int row_axis = _simple_axis(axis, y)
    if _is_simple_derivative(y, g, row_axis, where, out, divisor):
        return _run_fast(
            SMX_LOG_SOFTMAX_VJP, <cnp.ndarray>y, <cnp.ndarray>g, where, out, row_axis, divisor, False, None, None
        )
    return _run_derivative(SMX_LOG_SOFTMAX_VJP, y, g, "g", axis, where, out, divisor)


def softmax_jvp(y, v, axis=-1, *, out=None, where=None, temperature=1.0):
    r"""Jacobian-vector product of softmax: the change of its output for a change v of its input.

    .. math:: \left(J v\right)_i = \frac{y_i}{T} \left(v_i - \sum_j y_j v_j\right)

    The Jacobian is symmetric, so this is `softmax_vjp` under its other name.

    Parameters
    ----------
    y : array_like, any shape
        What `softmax` returned, with the same temperature.
    v : array_like
        The direction in which the input changes; broadcasts to `y`'s shape.
    axis : int, tuple of ints or None, default -1
        The axis that softmax was taken along.
    out : ndarray, optional
        Where to put the result, as for `softmax_vjp`.
    where : array_like of bool, optional
        Which elements take part, as for `softmax_vjp`.
    temperature : float, default 1.0
        T, as for `softmax_vjp`.

    Returns
    -------
    ndarray or scalar
        As `softmax_vjp` does.
        A scalar if `y` has no dimension.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax_vjp` does.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import softmax_jvp
    >>> softmax_jvp(np.array([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.1875, -0.1875])
    """
    cdef double divisor = _temperature(temperature)
    cdef int row_axis = _simple_axis(axis, y)
    if _is_simple_derivative(y, v, row_axis, where, out, divisor):
        return _run_fast(
            SMX_SOFTMAX_VJP, <cnp.ndarray>y, <cnp.ndarray>v, where, out, row_axis, divisor, False, None, None
        )
    return _run_derivative(SMX_SOFTMAX_VJP, y, v, "v", axis, where, out, divisor)


def log_softmax_jvp(y, v, axis=-1, *, out=None, where=None, temperature=1.0):
    r"""Jacobian-vector product of log-softmax: the change of its output for a change v of its input.

    .. math:: \frac{1}{T} \Bigl(v_i - \sum_j \exp(y_j) v_j\Bigr)

    Parameters
    ----------
    y : array_like, any shape
        What `log_softmax` returned, with the same temperature.
    v : array_like
        The direction in which the input changes; broadcasts to `y`'s shape.
    axis : int, tuple of ints or None, default -1
        The axis that log-softmax was taken along.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `v` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `log_softmax`; broadcasts to `y`'s shape. The result is 0 at hidden elements,
        whatever `y` and `v` hold there.
    temperature : float, default 1.0
        T: what the input of the forward function was divided by. The result is that of the input itself, 1 / T times as
        large. From 2**-900 to 2**900, as for `softmax`.

    Returns
    -------
    ndarray or scalar
        Of `y`'s shape and of the type that the two promote to; `out` if that was given. Each element is within 6 u of
        (\|v\| + sum of p \|v\|) / T, p = exp(y) and u being half the machine epsilon.
        A scalar if `y` has no dimension.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `v` or `where` does not broadcast to `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import log_softmax_jvp
    >>> log_softmax_jvp(np.log([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.75, -0.25])
    """
    cdef double divisor = _temperature(temperature)
    cdef int row_axis = _simple_axis(axis, y)
    if _is_simple_derivative(y, v, row_axis, where, out, divisor):
        return _run_fast(
            SMX_LOG_SOFTMAX_JVP, <cnp.ndarray>y, <cnp.ndarray>v, where, out, row_axis, divisor, False, None, None
        )
    return _run_derivative(SMX_LOG_SOFTMAX_JVP, y, v, "v", axis, where, out, divisor)
