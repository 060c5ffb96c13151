"""Softmax, log-softmax and their derivatives for NumPy arrays: within 1.5 ULP, the same bits everywhere, fast."""

# Of what compiled code imports, whoever packs a program up sees nothing: each is named here, too.
from softmax_ext import _buffers as _buffers
from softmax_ext import _threads as _threads

try:
    with _threads.brief_waits():
        import softmax_ext._core as _core  # noqa: F401  (loads the OpenMP runtime)
except ModuleNotFoundError as error:
    if error.name != "softmax_ext._core":
        raise
    from softmax_ext._missing import explanation

    raise ImportError(explanation(__path__[0]), name=error.name, path=__file__) from None

from softmax_ext._config import show_config
from softmax_ext._core import (
    get_buffer_limit,
    get_num_threads,
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    logsumexp,
    set_buffer_limit,
    set_num_threads,
    softmax,
    softmax_entropy,
    softmax_jvp,
    softmax_vjp,
)
from softmax_ext._jacobian import softmax_jacobian
from softmax_ext._loss import cross_entropy, cross_entropy_with_grad
from softmax_ext._ragged import (
    segment_log_softmax,
    segment_log_softmax_jvp,
    segment_log_softmax_vjp,
    segment_logsumexp,
    segment_softmax,
    segment_softmax_jvp,
    segment_softmax_vjp,
)
from softmax_ext._version import __version__

__all__ = [
    "__version__",
    "cross_entropy",
    "cross_entropy_with_grad",
    "get_buffer_limit",
    "get_num_threads",
    "log_softmax",
    "log_softmax_jvp",
    "log_softmax_vjp",
    "logsumexp",
    "segment_log_softmax",
    "segment_log_softmax_jvp",
    "segment_log_softmax_vjp",
    "segment_logsumexp",
    "segment_softmax",
    "segment_softmax_jvp",
    "segment_softmax_vjp",
    "set_buffer_limit",
    "set_num_threads",
    "show_config",
    "softmax",
    "softmax_entropy",
    "softmax_jacobian",
    "softmax_jvp",
    "softmax_vjp",
]

# In help, in pickles and to tools, a function is where users find it, whatever file it is written in.
for _name in __all__:
    if callable(_function := globals()[_name]):
        _function.__module__ = __name__
del _name, _function
