"""PyTorch: eager or compiled, on tensors that share the problem's memory."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from ..problem import LEARNING_RATE, Problem


class Trained:
    """nn.Sequential and Adam. fused: one kernel for all of Adam. mode: how model and loss are compiled, None eager.

    half: bfloat16 where autocast takes it.
    """

    def __init__(
        self, problem: Problem, threads: int, fused: bool = False, mode: str | None = None, half: bool = False
    ):
        torch.set_num_threads(threads)
        warnings.simplefilter("ignore")
        self.problem, self.epoch = problem, 0
        self.features, self.labels = torch.from_numpy(problem.features), torch.from_numpy(problem.labels)
        layers: list[nn.Module] = []
        for weight, bias in zip(problem.weights, problem.biases, strict=True):
            linear = nn.Linear(*weight.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight.T))
                linear.bias.copy_(torch.from_numpy(bias))
            layers += [linear, nn.ReLU()]
        model, cross_entropy = nn.Sequential(*layers[:-1]), nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=fused)

        def loss(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                return cross_entropy(model(x), labels)

        self.loss = torch.compile(loss, mode=mode) if mode else loss

    def epochs(self, count: int) -> float:
        for _ in range(count):
            total = torch.zeros(())
            for rows in torch.from_numpy(self.problem.order(self.epoch)).split(self.problem.size.batch):
                self.optimizer.zero_grad()
                loss = self.loss(self.features.index_select(0, rows), self.labels.index_select(0, rows))
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
            self.epoch += 1
        return total.item() / self.problem.size.steps
