"""PyTorch on its own tensors, eager; gradients through the kernels that autograd calls."""

import torch

from bench.peers import call


class Peer:
    """See `bench.peers.load`."""

    version = torch.__version__

    def __init__(self, threads):
        torch.set_num_threads(threads)

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if op == "cross_entropy":
            tensors["x"].requires_grad_()
            return {
                "own": [
                    call(
                        "loss_and_gradient(x, labels)",
                        loss_and_gradient=loss_and_gradient,
                        **tensors,
                    )
                ],
                "numpy": [call("loss_and_gradient(x, labels)", loss_and_gradient=from_arrays, **arrays)],
            }
        if op.endswith("_vjp"):
            name = f"_{op.removesuffix('_vjp')}_backward_data"
            names = {name: getattr(torch, name), "axis": axis, "dtype": tensors["y"].dtype}
            own, user = f"{name}(g, y, axis, dtype)", f"{name}(tensor(g), tensor(y), axis, dtype)"
        else:
            names = {op: getattr(torch, op), "axis": axis}
            own, user = f"{op}(x, axis)", f"{op}(tensor(x), axis)"
        forms = {
            "own": [call(own, **names, **tensors)],
            "numpy": [call(user + ".numpy()", tensor=torch.from_numpy, **names, **arrays)],
        }
        if op == "softmax":
            out = torch.empty_like(tensors["x"])
            forms["out"] = [call("softmax(x, axis, out=out)", out=out, **names, **tensors)]
        return forms

    def as_numpy(self, result):
        """Convert a tensor, or each of a tuple."""
        if isinstance(result, tuple):
            return tuple(self.as_numpy(part) for part in result)
        return result.numpy() if isinstance(result, torch.Tensor) else result


def loss_and_gradient(x, labels):
    """Cross-entropy and its gradient, on tensors."""
    loss = torch.nn.functional.cross_entropy(x, labels)
    return loss.detach(), torch.autograd.grad(loss, x)[0]


def from_arrays(x, labels):
    """Cross-entropy and its gradient, for arrays."""
    loss, gradient = loss_and_gradient(torch.from_numpy(x).requires_grad_(), torch.from_numpy(labels))
    return loss.item(), gradient.numpy()
