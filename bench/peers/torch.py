"""PyTorch on its own tensors, eager; gradients through the kernels that autograd calls."""

import math

import numpy as np
import torch

from bench.peers import call


class Peer:
    """See `bench.peers.load`."""

    version = torch.__version__
    knows_masks = True

    def __init__(self, threads):
        torch.set_num_threads(threads)

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        tensors = {name: as_tensor(array) for name, array in arrays.items()}
        if "where" in arrays:
            return masked(op, axis, tensors["x"], ~tensors["where"])
        if op == "cross_entropy":
            tensors["x"].requires_grad_()
            run = "loss_and_gradient(x, labels)"
            forms = {"own": [call(run, loss_and_gradient=loss_and_gradient, **tensors)]}
            if is_shared(arrays):
                forms["numpy"] = [call(run, loss_and_gradient=from_arrays, **arrays)]
            return forms
        if op.endswith("_vjp"):
            name = f"_{op.removesuffix('_vjp')}_backward_data"
            names = {name: getattr(torch, name), "axis": axis, "dtype": tensors["y"].dtype}
            own, user = f"{name}(g, y, axis, dtype)", f"{name}(tensor(g), tensor(y), axis, dtype)"
        else:
            names = {op: getattr(torch, op), "axis": axis}
            own, user = f"{op}(x, axis)", f"{op}(tensor(x), axis)"
        forms = {
            "own": [call(own, **names, **tensors)],
        }
        if is_shared(arrays):
            forms["numpy"] = [call(user + ".numpy()", tensor=torch.from_numpy, **names, **arrays)]
        if op == "softmax":
            out = torch.empty_like(tensors["x"])
            forms["out"] = [call("softmax(x, axis, out=out)", out=out, **names, **tensors)]
        return forms

    def as_numpy(self, result):
        """Convert a tensor, or each of a tuple."""
        if isinstance(result, tuple):
            return tuple(self.as_numpy(part) for part in result)
        if not isinstance(result, torch.Tensor):
            return result
        if result.dtype != torch.bfloat16:
            return result.numpy()
        from ml_dtypes import bfloat16

        return result.view(torch.int16).numpy().view(bfloat16)


def as_tensor(array):
    """View an array as a tensor; NumPy knows bfloat16 by the name of `ml_dtypes` only."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def is_shared(arrays):
    """Whether NumPy and PyTorch both know the arrays' types."""
    return all(array.dtype.name != "bfloat16" for array in arrays.values())


def masked(op, axis, x, hidden):
    """Statements for a mask: hidden logits are filled with -inf, or PyTorch's own kernel takes the mask."""
    names = {op: getattr(torch, op), "axis": axis, "x": x, "hidden": hidden, "inf": math.inf}
    calls = [call(f"{op}(x.masked_fill(hidden, -inf), axis)", **names)]
    if op == "softmax":
        calls.append(call("masked_softmax(x, hidden, axis)", masked_softmax=torch._masked_softmax, **names))
    return {"own": calls}


def loss_and_gradient(x, labels):
    """Cross-entropy and its gradient, on tensors."""
    loss = torch.nn.functional.cross_entropy(x, labels)
    return loss.detach(), torch.autograd.grad(loss, x)[0]


def from_arrays(x, labels):
    """Cross-entropy and its gradient, for arrays."""
    loss, gradient = loss_and_gradient(torch.from_numpy(x).requires_grad_(), torch.from_numpy(labels))
    return loss.item(), gradient.numpy()
