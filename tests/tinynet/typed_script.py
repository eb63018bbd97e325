"""What a user writes: modules, losses, callbacks, transformations, schedules and backends of their own, all typed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import kernels
import tinynet as tn
from tinynet import functional as F
from tinynet import nn, optim


class Block(nn.Module):
    """y = x + relu(x W + b) s, with a scale of its own."""

    def __init__(self, width: int) -> None:
        self.inner = nn.Linear(width, width)
        self.scale = nn.Parameter(np.ones(width, np.float32))

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        return x + F.relu(self.inner(x)) * self.scale


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        self.first, self.second = nn.Linear(3, 4), nn.Linear(2, 4)

    def forward(self, a: tn.Tensor, b: tn.Tensor) -> tn.Tensor:
        return self.first(a) + self.second(b)


class Huberish(nn.Module):
    def forward(self, prediction: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
        difference = prediction - target
        return (difference * difference).mean()


def mean_absolute(prediction: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
    return (
        F.absolute(prediction - target).mean() + (prediction - target).abs().std() * 0.0 + (prediction > 0).mean() * 0
    )


class Pairs(nn.Module):
    """Calls modules of one's own, and hands a result on unchanged."""

    def __init__(self, size: int) -> None:
        self.body = TwoInputs()
        self.activation: nn.Module = nn.LeakyReLU(negative_slope=0.1)
        self.size = size

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        return self.activation(self.body(x[:, :3], x[:, 3:]))


class Halved(optim.Transformation):
    def __call__(self, gradients: list[tn.Tensor]) -> list[tn.Tensor]:
        return [gradient * 0.5 for gradient in gradients]


class Patient:
    """A callback with a method that is called at the beginning."""

    stop_reason = "patience"

    def __init__(self) -> None:
        self.losses: list[float] = []

    def fit_begins(self, trainer: tn.Trainer, history: tn.History, rows: object) -> None:
        self.losses.clear()

    def __call__(self, trainer: tn.Trainer, history: tn.History) -> bool:
        self.losses.append(history.monitored)
        return len(self.losses) > 3


class Warm(tn.schedule.Schedule):
    def factor(self, step: int) -> float:
        return min(1.0, (step + 1) / 10)


class Doubling:
    """A backend's kernels, some of them one's own."""

    @staticmethod
    def exp(x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        np.exp(x, out=out)


def own_backend() -> kernels.Backend:
    numpy_backend = kernels.load("numpy")
    return kernels.Backend("mine", {**numpy_backend.implementations, "exp": Doubling.exp})


def stop_after_three(trainer: tn.Trainer, history: tn.History) -> bool:
    return len(history.train_loss) >= 3


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), Block(8), nn.Dropout(0.1), nn.Linear(8, 1))


def train(X: NDArray[np.float32], y: NDArray[np.float32]) -> list[float]:
    model = network()
    trainer = tn.Trainer(
        model,
        Huberish(),
        optim.Adam(model.parameters(), lr=1e-2),
        backend=kernels.load("numpy"),
        schedule=Warm(),
        callbacks=[stop_after_three, Patient()],
        transforms=[Halved()],
        progress=False,
    )
    history: tn.History = trainer.fit(X, y, epochs=4, batch_size=8)
    output: tn.Tensor = model(tn.Tensor(X))
    print(output.shape, history.train_loss[-1], trainer.evaluate(X, y))
    return history.train_loss


def by_hand(X: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    model, loss_function = network(), nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @tn.compile
    def step(x: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
        optimizer.zero_grad()
        loss: tn.Tensor = loss_function(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    return float(step(tn.Tensor(X), tn.Tensor(y)).item())


def with_kernels(a: NDArray[np.float32]) -> NDArray[np.float32]:
    backend = kernels.load("numpy")
    product = backend.matmul(a, a, transpose_b=True)
    return np.asarray(backend.exp(product), np.float32)


def estimators(X: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    classifier = tn.MLPClassifier((16,), max_iter=2, random_state=0).fit(X, y)
    return float(classifier.score(X, y))


def of_tables(frame: Any) -> None:
    classifier = tn.TabularClassifier(n_members=2, time_limit=3.0).fit(frame, "target")
    regressor = tn.TabularRegressor(loss="quantile", quantiles=(0.1, 0.5)).fit(frame, "target")
    print(classifier.predict_proba(frame), regressor.predict(frame))
    print(tn.MLPRegressor((64, 32), activation="gelu", early_stopping=True).fit(frame, frame).score(frame, frame))
    tn.save_checkpoint("model.safetensors", classifier)
    tn.export_onnx(network(), "model.onnx")


def looked_at(trainer: tn.Trainer, X: NDArray[np.float32], y: NDArray[np.int64]) -> list[float]:
    rate: float = tn.find_learning_rate(trainer, X, y).suggestion
    history = trainer.fit(X, y, metrics=["accuracy"])
    with tn.use_backend("numpy"), tn.no_grad():
        return [rate, *history.metrics["accuracy"], *history.step_learning_rate]


def main() -> None:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(32, 3)).astype(np.float32), random.normal(size=(32, 1)).astype(np.float32)
    print(train(X, y), by_hand(X, y), with_kernels(X).shape, estimators(X, (y[:, 0] > 0).astype(np.int64)))
    ones: NDArray[np.float32] = np.ones((4, 4), np.float32)
    assert own_backend().exp(ones).shape == (4, 4)
    assert mean_absolute(Pairs(2)(tn.Tensor(random.normal(size=(2, 5)), dtype=np.float32)), tn.Tensor(0.0)).item() >= 0
    losses = own_backend().softmax_cross_entropy(ones, np.zeros(4, np.int64))
    assert len(losses) == 2


if __name__ == "__main__":
    main()
