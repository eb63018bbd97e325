"""Attributes that would silently stay untrained are refused; ModuleList and ModuleDict hold what a list would hide."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, optim

X = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
Y = X[:, :1]


class With(nn.Module):
    def __init__(self, value):
        self.first, self.value = nn.Linear(3, 3), value

    def forward(self, x):
        return self.first(x)


@pytest.mark.parametrize(
    "value, sentence",
    [
        (lambda: tn.Tensor(np.ones(3), requires_grad=True), r"With\.value is a Tensor .*expected an nn\.Parameter"),
        (lambda: [nn.Linear(3, 3)], r"With\.value is a list with a Linear in it.*expected nn\.ModuleList\(list\)"),
        (lambda: (nn.ReLU(), nn.Linear(3, 3)), r"With\.value is a tuple with a ReLU .*nn\.ModuleList\(tuple\)"),
        (lambda: {"a": nn.Linear(3, 3)}, r"With\.value is a dict with a Linear .*nn\.ModuleDict\(dict\)"),
        (lambda: [1, [nn.Linear(3, 3)]], r"With\.value is a list with a Linear in it"),
        (lambda: [nn.Parameter(np.ones(3))], r"With\.value is a list with a Parameter in it.*self\.w0 = nn\.Parameter"),
    ],
)
def test_what_would_not_be_trained_is_refused(value, sentence):
    model = With(value())
    for asked in (model.parameters, lambda: list(model.named_parameters()), nn.Sequential(model).parameters):
        with pytest.raises(TypeError, match=sentence):
            asked()


@pytest.mark.parametrize(
    "value", [tn.Tensor(np.ones(3)), [1, 2.0], {"a": (1, "b")}, (), nn.Parameter(np.ones(3)), np.ones(3), None]
)
def test_what_is_no_trap_is_taken(value):
    assert len(With(value).parameters()) == 2 + isinstance(value, nn.Parameter)


def test_a_list_that_is_filled_later_is_refused_too():
    model = With([])
    model.value.append(nn.Linear(3, 1))
    with pytest.raises(TypeError, match="ModuleList"):
        optim.SGD(model.parameters(), lr=0.1)


def test_a_kept_result_is_no_trap():
    model = With(None)
    model.value = model(tn.Tensor(X))
    assert model.value.requires_grad and len(model.parameters()) == 2
    model.value.sum().backward()
    assert len(model.parameters()) == 2


class Stack(nn.Module):
    def __init__(self, modules):
        self.layers = modules

    def forward(self, x):
        for layer in self.layers.values() if isinstance(self.layers, nn.ModuleDict) else self.layers:
            x = layer(x)
        return x


def layers():
    tn.manual_seed(0)
    return [nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)]


@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize(
    "made", [nn.ModuleList, lambda found: nn.ModuleDict({f"n{i}": module for i, module in enumerate(found)})]
)
def test_modules_in_them_train_as_in_a_sequential(made, compiles, backend):
    losses = []
    for model in (Stack(made(layers())), nn.Sequential(*layers())):
        trainer = tn.Trainer(
            model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), backend, compile=compiles, progress=False
        )
        losses.append(trainer.fit(X, Y, epochs=2, batch_size=8).step_loss)
    assert losses[0] == losses[1] and losses[0][-1] < losses[0][0]


def test_a_module_list_is_a_list():
    found = layers()
    modules = nn.ModuleList(found[:1]).append(found[1]).extend(found[2:])
    assert list(modules) == found and len(modules) == 3 and modules[-1] is found[2]
    assert [name for name, _ in Stack(modules).named_parameters()] == [
        "layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias",
    ]  # fmt: skip
    modules[1] = nn.ReLU()
    assert "(1): ReLU()" in repr(modules)
    with pytest.raises(TypeError, match="ModuleList: item 3 is a int, expected a Module"):
        modules.append(3)


def test_a_module_dict_is_a_dict():
    modules = nn.ModuleDict({"a": nn.Linear(3, 1)})
    modules["b"] = nn.ReLU()
    assert "a" in modules and list(modules) == list(modules.keys()) == ["a", "b"] and len(modules) == 2
    assert [*modules.values()] == [modules["a"], modules["b"]] and dict(modules.items())["b"] is modules["b"]
    assert set(modules.state_dict()) == {"a.weight", "a.bias"}
    for name in ("", "a.b", 3):
        with pytest.raises(ValueError, match="ModuleDict: name is"):
            modules[name] = nn.ReLU()


def test_a_layer_that_is_added_is_trained_and_used():
    """A recorded step does not go on without it."""
    model = Stack(nn.ModuleList([nn.Linear(3, 1)]))
    trainer = tn.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), "numpy", progress=False)
    trainer.fit(X, Y, epochs=2, batch_size=8)
    model.layers.append(nn.Linear(1, 1))
    after = trainer.fit(X, Y, epochs=1, batch_size=32).train_loss[0]
    eager = tn.Trainer(model, nn.MSELoss(), optim.SGD(model.layers[0].parameters(), lr=0.0), "numpy", progress=False)
    assert after != trainer.histories[0].train_loss[-1] and np.isfinite(eager.evaluate(X, Y))


def test_the_warning_points_to_the_users_line():
    class Deciding(With):
        def forward(self, x):
            return self.first(x) * (2.0 if x.sum().item() > 0 else 1.0)

    model = Deciding(None)
    trainer = tn.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), "numpy", progress=False)
    with pytest.warns(UserWarning, match="step by step") as found:
        trainer.fit(X, X, epochs=1, batch_size=8)
    assert [warning.filename for warning in found] == [__file__]
