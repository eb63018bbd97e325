"""PyTorch's counterpart of each kernel, for comparison where PyTorch is installed.

Functions take the kernel's inputs, arrays as tensors, and return its results, or write ``out`` where they take it; an
optimizer updates its tensors. A gradient is the operator that autograd would run. Kernels without a counterpart are
left out.
"""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten


def of_one(function: Any) -> Any:
    return lambda x, out: function(x, out=out)


def of_two(function: Any) -> Any:
    return lambda a, b, out: function(a, b, out=out)


def cross_entropy(logits, labels, weights, smoothing, scale):
    """What F.cross_entropy and its backward pass run, in inference mode."""
    log_p = torch.log_softmax(logits, 1)
    loss = -log_p.gather(1, labels[:, None])[:, 0]
    gradient = log_p.exp_()
    gradient[torch.arange(len(labels)), labels] -= 1
    return loss * scale, gradient.mul_(scale)


def elementwise_loss(forward: Any, backward: Any) -> Any:
    """A loss of prediction and target, summed over each row, with its gradient."""

    def loss(weights, scale, **operands):
        delta = operands.pop("delta", None)
        z, t = operands.values()
        extra = () if delta is None else (delta,)
        return forward(z, t, *extra).sum(1).mul_(scale), backward(z, t, *extra).mul_(scale)

    return loss


def layer_norm(x, gain, bias, eps):
    out, mean, rstd = torch.native_layer_norm(x, x.shape[1:], gain, bias, eps)
    return out, mean[:, 0], rstd[:, 0]


def layer_norm_gradient(grad, x, gain, mean, rstd):
    wanted = [True, True, True]
    return aten.native_layer_norm_backward(grad, x, x.shape[1:], mean[:, None], rstd[:, None], gain, gain, wanted)


def batch_norm(x, gain, bias, running_mean, running_variance, momentum, eps):
    return torch.native_batch_norm(x, gain, bias, running_mean, running_variance, True, momentum, eps)


def batch_norm_gradient(grad, x, gain, mean, rstd):
    wanted = [True, True, True]
    return aten.native_batch_norm_backward(grad, x, gain, None, None, mean, rstd, True, 1e-5, wanted)


def linear(x, weight, bias, activation, out):
    torch.addmm(bias, x, weight, out=out)
    if activation == "relu":
        out.relu_()


def over(axis: Any, whole: Any, along: Any) -> Any:
    return whole() if axis is None else along()


def sgd(parameter, gradient, velocity, hyper):
    lr, momentum, decay, nesterov = hyper.tolist()
    torch._fused_sgd_(
        [parameter], [gradient], [velocity], weight_decay=decay, momentum=momentum, lr=lr, dampening=0.0,
        nesterov=bool(nesterov), maximize=False, is_first_step=False,
    )  # fmt: skip
    return ()


def rmsprop(parameter, gradient, square, velocity, hyper):
    """The body of torch.optim.RMSprop, which has no fused form."""
    lr, alpha, eps, _, momentum = hyper.tolist()
    square.mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
    velocity.mul_(momentum).addcdiv_(gradient, square.sqrt().add_(eps))
    parameter.add_(velocity, alpha=-lr)
    return ()


def adam(parameter, gradient, first, second, hyper, decoupled):
    lr, beta1, beta2, eps, decay, step = hyper.tolist()
    fused = torch._fused_adamw_ if decoupled else torch._fused_adam_
    fused(
        [parameter], [gradient], [first], [second], [], [torch.tensor(step)], lr=lr, beta1=beta1, beta2=beta2,
        weight_decay=decay, eps=eps, amsgrad=False, maximize=False,
    )  # fmt: skip
    return ()


EXPRESSIONS: dict[str, Any] = {
    **{
        name: of_two(getattr(torch, name))
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")
    },
    **{
        name: of_one(getattr(torch, name))
        for name in (
            "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "erf", "absolute", "sign", "negative",
            "sigmoid",
        )
    },
    "relu": lambda x, out: aten.relu(x, out=out),
    "power": lambda a, b, out: torch.pow(a, b, out=out),
    "greater": lambda a, b, out: torch.gt(a, b, out=out),
    "where": lambda condition, a, b, out: torch.where(condition != 0, a, b, out=out),
    "cast": lambda x, out: out.copy_(x),
    "fill": lambda value, out: out.fill_(value),
    "tanh_gradient": lambda grad, y, out: aten.tanh_backward(grad, y, grad_input=out),
    "sigmoid_gradient": lambda grad, y, out: aten.sigmoid_backward(grad, y, grad_input=out),
    "relu_gradient": lambda grad, y, out: aten.threshold_backward(grad, y, 0, grad_input=out),
    "leaky_relu": lambda x, slope, out: aten.leaky_relu(x, slope, out=out),
    "leaky_relu_gradient": lambda grad, y, slope, out: aten.leaky_relu_backward(grad, y, slope, True, grad_input=out),
    "elu": lambda x, alpha, out: aten.elu(x, alpha, out=out),
    "elu_gradient": lambda grad, y, alpha, out: aten.elu_backward(grad, alpha, 1, 1, True, y, grad_input=out),
    "gelu": lambda x, out: aten.gelu(x, out=out),
    "gelu_gradient": lambda grad, x, out: aten.gelu_backward(grad, x, grad_input=out),
    "gelu_tanh": lambda x, out: aten.gelu(x, approximate="tanh", out=out),
    "gelu_tanh_gradient": lambda grad, x, out: aten.gelu_backward(grad, x, approximate="tanh", grad_input=out),
    "silu": lambda x, out: aten.silu(x, out=out),
    "silu_gradient": lambda grad, x, out: aten.silu_backward(grad, x, grad_input=out),
    "softplus": lambda x, out: aten.softplus(x, out=out),
    "softplus_gradient": lambda grad, x, out: aten.softplus_backward(grad, x, 1, 20, grad_input=out),
    "matmul": lambda a, b, transpose_a, transpose_b, out: torch.mm(
        a.T if transpose_a else a, b.T if transpose_b else b, out=out
    ),
    "linear": linear,
    "dot": lambda a, b: torch.dot(a, b),
    "outer": lambda a, b, out: torch.outer(a, b, out=out),
    "sum": lambda x, axis: over(axis, x.sum, lambda: x.sum(axis)),
    "max": lambda x, axis: over(axis, x.amax, lambda: x.amax(axis)),
    "argmax": lambda x, axis: torch.argmax(x, axis),
    "mean": lambda x, axis: over(axis, x.mean, lambda: x.mean(axis)),
    "sum_of_squares": lambda x: torch.dot(x, x),
    "softmax": lambda x, out: torch.softmax(x, 1, out=out),
    "softmax_gradient": lambda grad, y, out: aten._softmax_backward_data(grad, y, 1, y.dtype, grad_input=out),
    "log_softmax": lambda x, out: torch.log_softmax(x, 1, out=out),
    "log_softmax_gradient": lambda grad, y, out: aten._log_softmax_backward_data(grad, y, 1, y.dtype, out=out),
    "gather_rows": lambda table, indices, out: torch.index_select(table, 0, indices, out=out),
    "transpose": lambda x, out: out.copy_(x.T),
    "softmax_cross_entropy": cross_entropy,
    "sigmoid_cross_entropy": elementwise_loss(
        lambda z, t: torch.nn.functional.binary_cross_entropy_with_logits(z, t, reduction="none"),
        lambda z, t: torch.sigmoid(z).sub_(t),
    ),
    "squared_error": elementwise_loss(
        lambda z, t: aten.mse_loss(z, t, 0), lambda z, t: aten.mse_loss_backward(torch.ones_like(z), z, t, 0)
    ),
    "absolute_error": elementwise_loss(
        lambda z, t: torch.nn.functional.l1_loss(z, t, reduction="none"), lambda z, t: torch.sub(z, t).sign_()
    ),
    "huber": elementwise_loss(
        lambda z, t, delta: aten.huber_loss(z, t, 0, delta),
        lambda z, t, delta: aten.huber_loss_backward(torch.ones_like(z), z, t, 0, delta),
    ),
    "poisson_nll": elementwise_loss(
        lambda z, t: torch.nn.functional.poisson_nll_loss(z, t, reduction="none"), lambda z, t: torch.exp(z).sub_(t)
    ),
    "layer_norm": layer_norm,
    "layer_norm_gradient": layer_norm_gradient,
    "batch_norm": batch_norm,
    "batch_norm_gradient": batch_norm_gradient,
    "batch_norm_inference": lambda x, gain, bias, running_mean, running_variance, eps: torch.batch_norm(
        x, gain, bias, running_mean, running_variance, False, 0.0, eps, False
    ),
    "sgd": sgd,
    "rmsprop": rmsprop,
    "adam": adam,
}  # fmt: skip
