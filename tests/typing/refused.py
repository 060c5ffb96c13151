"""Mistakes that a checker has to find: each line marked so, and nothing else. For mypy --strict; it is never run."""

import numpy as np

from softmax_ext import cross_entropy, logsumexp, set_num_threads, show_config, softmax

x = np.ones((2, 3))

softmax(x, "0")  # type: ignore[call-overload]
softmax(x, 1.0)  # type: ignore[call-overload]
softmax(x, temperature="0.5")  # type: ignore[call-overload]
softmax(x, temperature=1j)  # type: ignore[call-overload]
softmax(x, out=[0.0])  # type: ignore[call-overload]
softmax({"a": 1})  # type: ignore[call-overload]
softmax(x, -1, None)  # type: ignore[call-overload]
logsumexp(x, keepdims="yes")  # type: ignore[call-overload]
cross_entropy(x, [0, 1], reduction="avg")  # type: ignore[call-overload]
cross_entropy(x, [0, 1], ignore_index=1.0)  # type: ignore[call-overload]
cross_entropy(x, [0, 1], label_smoothing=b"0.1")  # type: ignore[call-overload]
set_num_threads(1.5)  # type: ignore[arg-type]
show_config("json")  # type: ignore[call-overload]
