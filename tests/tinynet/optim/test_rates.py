"""Factors of rates that parameters ask for, and layers whose weights are kept scaled, under every optimizer."""

import copy
import math

import numpy as np
import pytest

import tinynet as tn
from tinynet import Tensor, nn, optim
from tinynet import functional as F

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 9)), RNG.normal(size=(40, 1))


@pytest.fixture(autouse=True)
def on_numpy():
    tn.manual_seed(0)
    with tn.use_backend("numpy"):
        yield


class Explicit(nn.Module):
    """x W / sqrt(in) + b, with the division in every step."""

    def __init__(self, layer):
        self.root = math.sqrt(layer.in_features)
        self.weight, self.bias = nn.Parameter(layer.weight.data * self.root), nn.Parameter(layer.bias.data)

    def forward(self, x):
        return F.linear(x * (1 / self.root), self.weight, self.bias)


OPTIMIZERS = {
    "sgd": (optim.SGD, {"lr": 0.1}),
    "sgd with momentum and decay": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    "sgd with nesterov": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "rmsprop": (optim.RMSprop, {"lr": 0.02, "eps": 1e-2, "weight_decay": 0.1, "momentum": 0.5}),
    "adam": (optim.Adam, {"lr": 0.1, "betas": (0.9, 0.95)}),
    "adam with decay": (optim.Adam, {"lr": 0.1, "eps": 1e-2, "weight_decay": 0.3}),
    "adamw": (optim.AdamW, {"lr": 0.1, "eps": 1e-2, "weight_decay": 0.3}),
}


def trained(model, optimizer, steps=12):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.MSELoss()(model(Tensor(X)), Y)
        loss.backward()
        optimizer.step()
    return model.state_dict()


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_scaled_weight_moves_as_the_learned_one(name, direct):
    make, options = OPTIMIZERS[name]
    layer = nn.Linear(9, 1, parametrisation="ntk", bias_initialiser="normal").to(np.float64)
    explicit = Explicit(layer)
    expected = trained(explicit, make(explicit.parameters(), **options))
    before = layer.weight.data.copy()
    given = layer.parameters() if direct else optim.parameter_groups(layer, make, **options)
    found = trained(layer, make(given, **options))
    np.testing.assert_allclose(found["weight"] * 3, expected["weight"], rtol=1e-9)
    np.testing.assert_allclose(found["bias"], expected["bias"], rtol=1e-9)
    assert not np.allclose(found["weight"], before, rtol=0.05)


def test_an_optimizer_without_an_equal_update_refuses():
    layer = nn.Linear(9, 1, parametrisation="ntk")
    for make in (lambda: optim.RAdam(layer.parameters()), lambda: optim.parameter_groups(layer, optim.RAdam)):
        with pytest.raises(ValueError, match=r"^RAdam got a parameter that is kept as 0.333333 w .*expected SGD, RMS"):
            make()
    assert len(optim.RAdam(nn.Scale(3, lr_factor=6).parameters(), lr=0.1).groups) == 1


def network():
    return nn.Sequential(
        nn.Scale(9, lr_factor=6), nn.Linear(9, 9, parametrisation="ntk", bias_lr_factor=0.1), nn.SELU(),
        nn.Linear(9, 3, parametrisation="ntk", lr_factor=2, bias_lr_factor=0.1),
    )  # fmt: skip


def test_parameters_with_equal_factors_share_a_group():
    model = network()
    model[1].bias.decay_factor = model[3].bias.decay_factor = 0.0
    groups = optim.parameter_groups(model, optim.AdamW, lr=0.06, weight_decay=0.3)
    front, _, biases, _ = groups
    assert [len(group["params"]) for group in groups] == [1, 1, 2, 1]
    assert front["params"] == [model[0].weight] and biases["params"] == [model[1].bias, model[3].bias]
    assert [group["lr"] for group in groups] == pytest.approx([0.36, 0.02, 0.006, 0.04])
    assert [group.get("eps") for group in groups] == pytest.approx([None, 3e-8, None, 3e-8])
    assert [group["weight_decay"] for group in groups] == pytest.approx([0.3, 0.9, 0, 0.9])
    for params in (groups, model.parameters()):
        made = optim.AdamW(params, lr=0.06, weight_decay=0.3)
        assert [dict(made_group) for made_group in made.groups] == [
            {"params": group["params"], "lr": group["lr"], "beta1": 0.9, "beta2": 0.999, "eps": group.get("eps", 1e-8),
             "weight_decay": group["weight_decay"], "step": 0.0} for group in groups
        ]  # fmt: skip


def test_without_factors_there_is_one_group():
    model = nn.multilayer_perceptron(9, (4,), 2)
    assert len(optim.SGD(model.parameters()).groups) == len(optim.parameter_groups(model, lr=0.1)) == 1


def test_groups_that_are_given_stay():
    layer = nn.Linear(9, 1, parametrisation="ntk")
    optimizer = optim.Adam([{"params": layer.parameters(), "lr": 0.5}], lr=0.1)
    assert [group["lr"] for group in optimizer.groups] == [0.5]


def test_a_copy_keeps_factors_and_a_state_has_none():
    model = network()
    twin = copy.deepcopy(model)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert a is not b and (a.lr_factor, a.decay_factor, a.scale) == (b.lr_factor, b.decay_factor, b.scale)
    plain = nn.Sequential(nn.Scale(9), nn.Linear(9, 9), nn.SELU(), nn.Linear(9, 3))
    plain.load_state_dict(model.state_dict())
    x = Tensor(X.astype(np.float32))
    np.testing.assert_array_equal(plain(x).numpy(), model(x).numpy())
    converted = model.to(np.float64)
    assert converted[1].weight.scale == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: nn.Parameter([1.0], lr_factor=-1), ValueError, "lr_factor is -1, expected a finite number >= 0"),
        (lambda: nn.Parameter([1.0], scale=0), ValueError, "scale is 0, expected a finite number > 0"),
        (lambda: nn.Scale(3, lr_factor="6"), ValueError, "lr_factor is '6'"),
        (lambda: nn.Linear(3, 3, bias_lr_factor=math.nan), ValueError, "lr_factor is nan"),
        (lambda: nn.Linear(3, 3, parametrisation="ntc"), ValueError, "unknown parametrisation 'ntc': did you mean 'ntk'"),
        (lambda: nn.Linear(3, 3, bias_initialiser="zero"), ValueError, "unknown bias_initialiser 'zero': did you mean 'zeros'"),
        (lambda: nn.Linear(3, 2, bias_initialiser=lambda shape: np.ones(3)), ValueError, "bias_initialiser returned shape"),
        (lambda: optim.parameter_groups(network(), rate=1.0), ValueError, "unknown optimizer option 'rate'"),
    ],
)  # fmt: skip
def test_refusals(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_weights_of_ntk_are_drawn_as_they_are_learned():
    layer = nn.Linear(400, 300, parametrisation="ntk", bias_initialiser="normal")
    learned = layer.weight.data.astype(float) * 20
    assert learned.std() == pytest.approx(1, rel=0.01) and learned.mean() == pytest.approx(0, abs=0.01)
    assert layer.bias.data.std() == pytest.approx(1, rel=0.15)
    assert (nn.Linear(4, 5, parametrisation="ntk", initialiser="ones").weight.data == 0.5).all()
    assert (nn.Linear(4, 5, bias_initialiser="ones").bias.data == 1).all()
