"""Training that ends at the same network on other processors, too.

Processors round the last digit of a sum differently, and training makes the difference grow until
it is another network with another AUROC. In double precision, with gradients rounded to about five
digits, such a difference is mostly gone before it can grow. No paper asks for it; a number that is
to be compared across machines does.
"""

from collections.abc import Iterator

import numpy as np
import torch


def precise(device: str | torch.device) -> torch.dtype:
    """Type of the numbers to train with: float64 on a CPU, elsewhere float32, for speed."""
    return torch.float64 if torch.device(device).type == "cpu" else torch.float32


def first_weights(network: torch.nn.Module, rng: np.random.Generator) -> torch.nn.Module:
    """Draw the first weights of convolutions and linear layers, in place.

    PyTorch's own draws differ between processors in the last digit. These are of the same size:
    uniform within 1 / sqrt(n) of 0, n the inputs of one output; biases are 0. Other layers, such
    as batch norm, and parameters of a network's own stay as they are.

    Args:
        network: holds the layers; the order of its `modules()` is the order of drawing.
        rng: two generators of one seed give the same weights.

    Returns:
        The network.
    """
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, (torch.nn.Linear, torch.nn.modules.conv._ConvNd)):
                bound = layer.weight[0].numel() ** -0.5
                drawn = rng.uniform(-bound, bound, tuple(layer.weight.shape))
                layer.weight.copy_(torch.from_numpy(drawn))
                if layer.bias is not None:
                    layer.bias.zero_()
    return network


def batches(count: int, size: int, number: int, rng: np.random.Generator) -> Iterator[torch.Tensor]:
    """Indices of `number` batches: all of 0..count-1 in random order, then all in another order.

    Args:
        count: how many images there are, at least 1.
        size: indices in a batch, at least 1; a batch may reach over into the next order.
        number: how many batches, 0 or more.
        rng: draws the orders; two generators of one seed give the same batches.

    Yields:
        int64 tensors (size,).

    Raises:
        ValueError: count or size is below 1, or number below 0.
    """
    for name, value, least in (("count", count, 1), ("size", size, 1), ("number", number, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    return _batches(count, size, number, rng)


def _batches(
    count: int, size: int, number: int, rng: np.random.Generator
) -> Iterator[torch.Tensor]:
    waiting = np.zeros(0, dtype=np.int64)
    for _ in range(number):
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        yield torch.from_numpy(waiting[:size].copy())
        waiting = waiting[size:]


def rounded(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient without its last digits: same shape and type.

    Args:
        gradient: real numbers of any shape, finite.

    Returns:
        The nearest multiples of 2**-16 times the power of two at or below the largest absolute
        entry. Where all entries are below 1e-6, 1e-6 counts as the largest: noise in a gradient
        of zero is not enlarged.
    """
    largest = gradient.abs().max().clamp_min(1e-6)
    step = 2.0 ** (largest.log2().floor() - 16)
    return (gradient / step).round() * step


def update(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> float:
    """One step down the rounded gradient of a loss.

    Args:
        optimizer: holds the weights; their old gradients are dropped. A weight that the loss does
            not depend on keeps its value.
        loss: a single finite number with a graph behind it.

    Returns:
        The loss, as it was before the step.

    Raises:
        ValueError: the loss is not finite; the weights are unchanged.
    """
    value = float(loss.detach())
    if not np.isfinite(value):
        raise ValueError(
            f"the loss is {value}: lower the learning rate, or look for inf in the data"
        )
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is not None:
                weight.grad = rounded(weight.grad)
    optimizer.step()
    return value
