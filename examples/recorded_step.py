"""A training step written by hand, recorded and replayed: the same losses, and the time a step takes.

python examples/recorded_step.py
"""

import time

import numpy as np
from sklearn.datasets import load_digits

import kernels
import tinynet as tn
from tinynet import nn, optim

STEPS, BATCH = 200, 32


def make_step():
    """A network with its optimizer, and one step of training as a function of a batch."""
    tn.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer, loss_function = optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()

    def step(x, labels):
        optimizer.zero_grad()
        loss = loss_function(model(tn.Tensor(x)), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def train(step, batches):
    """The losses, and microseconds a step; the first steps, which compile and record, are not timed."""
    losses = [step(x, labels).item() for x, labels in batches[:5]]
    started = time.perf_counter()
    losses += [step(x, labels).item() for x, labels in batches[5:]]
    return losses, (time.perf_counter() - started) / len(batches[5:]) * 1e6


def main():
    digits = load_digits()
    rows = np.random.default_rng(0).integers(0, len(digits.data), (STEPS, BATCH))
    batches = [((digits.data[chosen] / 16).astype(np.float32), digits.target[chosen]) for chosen in rows]
    for name in ("numpy", "numba"):
        if name not in kernels.available():
            continue
        with tn.use_backend(name):
            eager_losses, eager = train(make_step(), batches)
            recorded = tn.compile(make_step())
            losses, replayed = train(recorded, batches)
        same = "the same losses" if losses == eager_losses else "OTHER LOSSES"
        print(f"{name}: eager {eager:.0f} us a step, replayed {replayed:.0f} us, {same}")
    print(recorded.program)


if __name__ == "__main__":
    main()
