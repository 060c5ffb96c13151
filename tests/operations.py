"""The public functions, listed once: how each is called, and what its results are held to.

The other files take functions, inputs and measures from here. `test_operations.py` compares the list with
``softmax_ext.__all__``, so a public function that is missing here fails, and calls each function with each
of its arguments.

- `OPERATIONS` has the functions that compute something, `SETTINGS` the others.
- `RESULTS` has what is measured and claimed: the result of a function of rows, or a part of a loss.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

import softmax_ext
from softmax_ext import _reference

#: Public functions that compute nothing, and the file that tests each.
SETTINGS = {
    "get_num_threads": "test_process.py",
    "set_num_threads": "test_process.py",
    "get_buffer_limit": "test_buffers.py",
    "set_buffer_limit": "test_buffers.py",
    "show_config": "test_config.py",
}


# Measures -----------------------------------------------------------------------------------------
#
# A measure is the unit in which the error of a result is counted, and the contract's bound in it:
#
# - "result": 2 ULP at the true value;
# - "row": 2 ULP at the larger of the true value and the row's largest element, both absolute;
# - "terms": 4 u = 2 eps times the element's natural scale, which is its formula with every term in absolute
#   value. A function `scale(*rows, total)` makes it; `total` sums along the rows and keeps the axis;
# - "products": likewise, 6 u;
# - "weighted": 2 ULP at the largest of the true value, of |x| and |log |b|| of terms that are half as large as the
#   largest one or more, and of the share that the terms but the largest have in the sum of sizes; times the condition
#   of the sum, the ratio of that sum to the size of the sum.

BOUNDS = {"result": 2, "row": 2, "terms": 4, "products": 6, "weighted": 2}
UNITS = {"result": "ulp", "row": "ulp", "terms": "u", "products": "u", "weighted": "ulp"}


def _softmax_vjp_scale(y, g, total):
    return y * (np.abs(g) + total(y * np.abs(g)))


def _log_softmax_vjp_scale(y, g, total):
    return np.abs(g) + np.exp(y) * total(np.abs(g))


def _log_softmax_jvp_scale(y, v, total):
    return np.abs(v) + total(np.exp(y) * np.abs(v))


def _entropy_scale(x, total):
    return _reference.softmax_entropy(x, keepdims=True)  # none of its terms is negative


def _loss_scale(x, q, total):
    return _reference.softmax(x) * total(q) + q


def _label_loss_scale(x, total):
    return _loss_scale(x, np.where(np.arange(x.shape[-1]) == 0, 1.0, np.zeros(x.shape)), total)


# Public functions ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """A public function of arrays."""

    name: str
    #: "rows": along an axis. "loss": likewise, of logits and labels. "segments": of the first axis' segments.
    #: "matrix": a matrix for each row.
    kind: str
    #: The names of the arrays that it wants, and its other parameters with their defaults.
    arguments: tuple
    parameters: dict = field(repr=False)
    #: The function whose result the first argument is.
    forward: str | None = None
    #: True if there is a result for each element, False if there is one for each row.
    elementwise: bool = True
    #: With `where`: numbers that stand for a hidden element of each argument without changing another result,
    #: and the result there; without `elementwise`, the result of a row in which nothing is left.
    hidden: tuple | None = None
    measure: str | None = None
    scale: Callable | None = None
    #: A function that has the same results, by the same code.
    same_as: str | None = None
    #: The function that it applies to each segment.
    of_segments: str | None = None

    @property
    def function(self):
        return getattr(softmax_ext, self.name)

    @property
    def reference(self):
        return getattr(_reference, self.name)

    def takes(self, parameter):
        return parameter in self.parameters

    def inputs(self, shape, dtype, seed=0):
        """Return arguments of moderate size: x; y and a vector; logits and labels; each with an indptr."""
        rng = np.random.default_rng([seed, *shape])
        x = 4 * rng.normal(size=shape)
        first = getattr(_reference, self.forward)(x) if self.forward else x
        arrays = [_cast(first, dtype)]
        if self.kind == "loss":
            arrays.append(rng.integers(shape[-1], size=shape[:-1]))
        elif len(self.arguments) - (self.kind == "segments") == 2:
            arrays.append(_cast(rng.normal(size=shape), dtype))
        if self.kind == "segments":
            third = shape[0] // 3
            arrays.append(np.array([0, third, third, shape[0]]))
        return arrays


def _cast(x, dtype):
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(dtype)


_MAP = {
    "axis": -1, "out": None, "dtype": None, "where": None, "temperature": 1.0,
    "initial": None, "return_logsumexp": False,
}  # fmt: skip
_REDUCTION = {"axis": -1, "keepdims": False, "out": None, "dtype": None, "where": None, "temperature": 1.0}
_DERIVATIVE = {"axis": -1, "out": None, "where": None, "temperature": 1.0}
_LOSS = {
    "axis": -1, "reduction": "mean", "weight": None, "ignore_index": None, "label_smoothing": 0.0, "where": None,
    "temperature": 1.0, "sample_weight": None,
}  # fmt: skip
_SEGMENTS = {"out": None, "where": None, "temperature": 1.0}

_LISTED = [
    Operation("softmax", "rows", ("x",), _MAP, hidden=((-np.inf,), 0), measure="result"),
    Operation("log_softmax", "rows", ("x",), _MAP, hidden=((-np.inf,), -np.inf), measure="result"),
    Operation(
        "logsumexp", "rows", ("x",), _REDUCTION | {"b": None, "return_sign": False, "initial": None},
        elementwise=False, hidden=((-np.inf,), -np.inf), measure="row",
    ),
    Operation(
        "softmax_entropy", "rows", ("x",), _REDUCTION,
        elementwise=False, hidden=((-np.inf,), 0), measure="terms", scale=_entropy_scale,
    ),
    Operation(
        "softmax_vjp", "rows", ("y", "g"), _DERIVATIVE,
        forward="softmax", hidden=((0, 0), 0), measure="products", scale=_softmax_vjp_scale,
    ),
    Operation(
        "log_softmax_vjp", "rows", ("y", "g"), _DERIVATIVE,
        forward="log_softmax", hidden=((-np.inf, 0), 0), measure="products", scale=_log_softmax_vjp_scale,
    ),
    Operation(
        "softmax_jvp", "rows", ("y", "v"), _DERIVATIVE,
        forward="softmax", hidden=((0, 0), 0), measure="products", scale=_softmax_vjp_scale, same_as="softmax_vjp",
    ),
    Operation(
        "log_softmax_jvp", "rows", ("y", "v"), _DERIVATIVE,
        forward="log_softmax", hidden=((-np.inf, 0), 0), measure="products", scale=_log_softmax_jvp_scale,
    ),
    Operation("softmax_jacobian", "matrix", ("y",), {"axis": -1, "temperature": 1.0}, forward="softmax"),
    Operation("cross_entropy", "loss", ("logits", "labels"), _LOSS, elementwise=False),
    Operation("cross_entropy_with_grad", "loss", ("logits", "labels"), _LOSS | {"out": None}),
    Operation("segment_softmax", "segments", ("x", "indptr"), _SEGMENTS, of_segments="softmax"),
    Operation("segment_log_softmax", "segments", ("x", "indptr"), _SEGMENTS, of_segments="log_softmax"),
    Operation(
        "segment_logsumexp", "segments", ("x", "indptr"), _SEGMENTS, elementwise=False, of_segments="logsumexp"
    ),
    Operation(
        "segment_softmax_vjp", "segments", ("y", "g", "indptr"), _SEGMENTS,
        forward="softmax", of_segments="softmax_vjp",
    ),
    Operation(
        "segment_log_softmax_vjp", "segments", ("y", "g", "indptr"), _SEGMENTS,
        forward="log_softmax", of_segments="log_softmax_vjp",
    ),
    Operation(
        "segment_softmax_jvp", "segments", ("y", "v", "indptr"), _SEGMENTS,
        forward="softmax", of_segments="softmax_jvp", same_as="segment_softmax_vjp",
    ),
    Operation(
        "segment_log_softmax_jvp", "segments", ("y", "v", "indptr"), _SEGMENTS,
        forward="log_softmax", of_segments="log_softmax_jvp",
    ),
]  # fmt: skip

OPERATIONS = {operation.name: operation for operation in _LISTED}


def names(condition):
    """Return the names of the operations for which the condition is true."""
    return [operation.name for operation in _LISTED if condition(operation)]


#: Functions of rows: all; those of one array; those of y and a vector; those with a result for each element.
FUNCTIONS = names(lambda o: o.kind == "rows")
MAPS = names(lambda o: o.kind == "rows" and not o.forward)
DERIVATIVES = names(lambda o: o.kind == "rows" and o.forward)
ELEMENTWISE = names(lambda o: o.kind == "rows" and o.elementwise)
#: Functions of rows without a second name of another, where calling both would only take time.
DISTINCT = names(lambda o: o.kind == "rows" and not o.same_as)
DISTINCT_ELEMENTWISE = names(lambda o: o.kind == "rows" and o.elementwise and not o.same_as)
#: The functions that others apply to segments, without second names: of one array, and of y and a vector.
SEGMENT_MAPS = [OPERATIONS[n].of_segments for n in names(lambda o: o.of_segments and not o.forward)]
SEGMENT_DERIVATIVES = [
    OPERATIONS[n].of_segments for n in names(lambda o: o.of_segments and o.forward and not o.same_as)
]


def signature(function):
    """Return a function's parameters and their defaults; ... stands for none."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: ... if p.default is p.empty else p.default for p in parameters}


# Measured results ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """A result whose error is measured."""

    name: str
    arguments: tuple  # of which each is a 2-D array of rows
    forward: str | None
    measure: str
    #: Called as ``call(module, *rows)``, the package or its reference being the module; the result is 2-D. Those that
    #: have a temperature take it as a keyword.
    call: Callable
    scale: Callable | None = None
    #: Of a derivative or a loss.
    temperature: float = 1.0
    #: True if the second array may be negative.
    has_signs: bool = False

    @property
    def bound(self):
        """The contract's."""
        return BOUNDS[self.measure]

    @property
    def unit(self):
        return UNITS[self.measure]


def _of_rows(operation):
    kwargs = {} if operation.elementwise else {"keepdims": True}

    def call(module, *rows, **options):
        return getattr(module, operation.name)(*rows, **kwargs, **options)

    return Result(
        operation.name, operation.arguments, operation.forward, operation.measure, call, operation.scale
    )


def tempered(name, temperature):
    """Return the result of a derivative or a loss with a temperature."""
    result = RESULTS[name]
    by = temperature if name in LOSSES else 1.0  # of the logits

    def call(module, *rows):
        return result.call(module, *rows, temperature=temperature)

    def scale(x, *rows, total):
        return result.scale(x / by, *rows, total=total) / temperature

    return replace(result, call=call, scale=scale, temperature=temperature)


def _loss_of_rows(module, x, labels=None, **options):
    """Return the losses and the gradient; without probabilities as labels, class 0 is every row's."""
    labels = np.zeros(len(x), int) if labels is None else labels
    loss, gradient = module.cross_entropy_with_grad(x, labels, reduction="none", **options)
    return loss[:, None], gradient


def _loss(*arguments, **options):
    return _loss_of_rows(*arguments, **options)[0]


def _loss_gradient(*arguments, **options):
    return _loss_of_rows(*arguments, **options)[1]


def _weighted(module, x, b):
    """Return the logarithm of the sum's size."""
    return module.logsumexp(x, b=b, return_sign=True, keepdims=True)[0]


RESULTS = {name: _of_rows(OPERATIONS[name]) for name in DISTINCT} | {
    result.name: result
    for result in [
        Result("signed_logsumexp", ("x", "b"), None, "weighted", _weighted, has_signs=True),
        Result("label_loss", ("x",), None, "result", _loss),
        Result("target_loss", ("x", "q"), None, "result", _loss),
        Result("label_loss_grad", ("x",), None, "terms", _loss_gradient, _label_loss_scale),
        Result("target_loss_grad", ("x", "q"), None, "terms", _loss_gradient, _loss_scale),
    ]
}
LOSSES = [name for name in RESULTS if "loss" in name]
#: Those of one array, and those of two.
OF_ONE = [name for name, result in RESULTS.items() if len(result.arguments) == 1]
OF_TWO = [name for name, result in RESULTS.items() if len(result.arguments) == 2]
