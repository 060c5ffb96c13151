"""ONNX Runtime: a graph of its operators, run on values that it holds.

A gradient is a graph of four operators: the package for inference has no fused one. Nor has it a
gradient of cross-entropy, which is left out.
"""

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

from bench.peers import call


class Peer:
    """See `bench.peers.load`."""

    version = onnxruntime.__version__

    def __init__(self, threads):
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        if op == "cross_entropy":
            return {}
        session = onnxruntime.InferenceSession(
            graph(op, axis, arrays), self.options, providers=["CPUExecutionProvider"]
        )
        binding = session.io_binding()
        for name, array in arrays.items():
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array)
            binding.bind_ortvalue_input(name, value)
        binding.bind_output("result", "cpu")
        self.binding = binding
        inputs = ", ".join(f"'{name}': {name}" for name in arrays)
        return {
            "own": [call("run(binding)", run=session.run_with_iobinding, binding=binding)],
            "numpy": [call(f"run(None, {{{inputs}}})[0]", run=session.run, **arrays)],
        }

    def as_numpy(self, result):
        """Fetch a result: a bound session leaves it in the binding."""
        return self.binding.get_outputs()[0].numpy() if result is None else result


def graph(op, axis, arrays):
    """Build an operation's model.

    Parameters
    ----------
    op : str
    axis : int
    arrays : dict of str to ndarray

    Returns
    -------
    bytes
    """
    node = helper.make_node
    nodes = {
        "softmax": [node("Softmax", ["x"], ["result"], axis=axis)],
        "log_softmax": [node("LogSoftmax", ["x"], ["result"], axis=axis)],
        "logsumexp": [node("ReduceLogSumExp", ["x", "axes"], ["result"], keepdims=0)],
        "softmax_vjp": [
            node("Mul", ["y", "g"], ["yg"]),
            node("ReduceSum", ["yg", "axes"], ["sum"]),
            node("Sub", ["g", "sum"], ["centred"]),
            node("Mul", ["y", "centred"], ["result"]),
        ],
        "log_softmax_vjp": [
            node("Exp", ["y"], ["p"]),
            node("ReduceSum", ["g", "axes"], ["sum"]),
            node("Mul", ["p", "sum"], ["psum"]),
            node("Sub", ["g", "psum"], ["result"]),
        ],
    }[op]
    dtype = helper.np_dtype_to_tensor_dtype(next(iter(arrays.values())).dtype)
    model = helper.make_graph(
        nodes,
        op,
        [helper.make_tensor_value_info(name, dtype, a.shape) for name, a in arrays.items()],
        [helper.make_tensor_value_info("result", dtype, None)],
        [numpy_helper.from_array(np.array([axis]), "axes")],
    )
    opset = helper.make_opsetid("", 18)
    return helper.make_model(model, opset_imports=[opset], ir_version=10).SerializeToString()
