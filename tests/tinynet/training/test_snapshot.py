"""What a step's own code depends on, however it holds it, is seen when it changes; what it does not use is not."""

import collections
import contextvars
import dataclasses
import enum
import functools
import sys
import types
import weakref

import numpy as np
import pytest
from backends import loaded

import tinynet as tn
from tinynet import nn, optim
from tinynet.backends import running_on

F = np.float32
X = np.ones((4, 3), F)

settings, package = types.ModuleType("settings_of_a_test"), types.ModuleType("package_of_a_test")
package.settings, settings.Options = settings, type("Options", (), {"__module__": __name__})
sys.modules["settings_of_a_test"], sys.modules["package_of_a_test"] = settings, package


class Options:
    """A namespace of a user's, never instantiated."""


class Slots:
    __slots__ = ("scale",)


@dataclasses.dataclass(slots=True)
class SlotsOfData:
    scale: float = 1.5


@dataclasses.dataclass
class Data:
    scale: object = 1.5


class Mode(enum.Enum):
    LOW, HIGH = 1.5, 3.0


class Base:
    base = 1.5

    @property
    def scale(self):
        return self._scale


class Derived(Base):
    _scale = 1.5

    def from_global(self):
        return SCALE

    @classmethod
    def of_class(cls):
        return cls._scale


class Meta(type):
    @property
    def scale(cls):
        return cls._scale


class OfMeta(metaclass=Meta):
    _scale = 1.5


class Descriptor:
    value = 1.5

    def __get__(self, owner, kind):
        return self.value


class ListOfUser(list):
    pass


class DictOfUser(dict):
    pass


variable = contextvars.ContextVar("variable", default=1.5)
SCALE = 1.5


def helper():
    return helper.scale


def outer():
    return inner()


def inner():
    return SCALE


def set_global(value):
    globals()["SCALE"] = value


CASES = {}


def case(make):
    """make() gives a function that reads a number, and one that makes it another."""
    CASES[make.__name__.strip("_").replace("_", " ")] = make
    return make


def attribute(owner, name="scale"):
    return lambda: setattr(owner, name, 3.0)


def simple(name, make, read, change=None):
    def case():
        owner = make()
        return (lambda: read(owner)), (lambda: change(owner) if change else setattr(owner, "scale", 3.0))

    CASES[name] = case


def with_slot():
    made = Slots()
    made.scale = 1.5
    return made


def by_scale(owner):
    return owner.scale


def first(owner):
    return owner[0]


def at_a(owner):
    return owner["a"]


def set_first(owner):
    owner[0] = 3.0


def set_a(owner):
    owner["a"] = 3.0


def with_scale(owner):
    owner.scale = 1.5
    return owner


simple("a slot", with_slot, by_scale)
simple("a slot of a dataclass", SlotsOfData, by_scale)
simple("a dataclass", Data, by_scale)
simple("an enumeration", lambda: Data(Mode.LOW), lambda o: o.scale.value, lambda o: setattr(o, "scale", Mode.HIGH))
simple("a NumPy scalar", lambda: Data(F(1.5)), lambda o: float(o.scale), lambda o: setattr(o, "scale", F(3)))
simple(
    "another class", Derived, lambda o: o.base, lambda o: setattr(o, "__class__", type("Other", (Base,), {"base": 3.0}))
)
simple("a list of a subclass", lambda: with_scale(ListOfUser()), by_scale)
simple("a dict of a subclass", lambda: with_scale(DictOfUser()), by_scale)
simple("a name that is made", types.SimpleNamespace, lambda o: getattr(o, "sca" + "le", 1.5))
simple("an attribute that is made", Data, lambda o: getattr(o, "_".join(["extra", "scale"]), 1.5),
       lambda o: setattr(o, "extra_scale", 3.0))  # fmt: skip
simple("vars", Data, lambda o: vars(o)["scale"])
simple("a deque", lambda: collections.deque([1.5]), first, set_first)
simple("a bytearray", lambda: bytearray(b"a"), lambda o: float(o[0]), lambda o: o.__setitem__(0, 3))
simple("a set", lambda: {1}, lambda o: float(len(o)), lambda o: o.add(7))
simple("a set of as many", lambda: {1}, lambda o: float(sum(o)), lambda o: (o.add(7), o.remove(1)))
simple("a ChainMap", lambda: collections.ChainMap({"a": 1.5}), at_a, set_a)
simple("a UserDict", lambda: collections.UserDict(a=1.5), at_a, set_a)
simple("an array without axes", lambda: np.array(1.5), float, lambda o: o.fill(3))
simple("an array by value", lambda: np.array([1.5]), lambda o: float(o[0]), lambda o: o.fill(3))
simple("an array of whole numbers", lambda: np.arange(100), lambda o: float(o[50]), lambda o: o.fill(3))
simple("a Tensor by value", lambda: tn.Tensor([1.5]), lambda o: float(o.data[0]), lambda o: o.data.fill(3))
simple("a dict's keys", lambda: {"a": 1.5}, lambda o: 1.5 if "a" in o else 3.0, lambda o: o.update(b=o.pop("a")))
simple("an order of keys", lambda: {"a": 1.5, "b": 3.0}, lambda o: next(iter(o.values())) + at_a(o),
       lambda o: o.update(b=o.pop("a"), a=o.pop("b")))  # fmt: skip
simple("a function's default", lambda: lambda s=1.5: s, lambda o: o(), lambda o: setattr(o, "__defaults__", (3.0,)))
simple(
    "a function's code", lambda: lambda: 1.5, lambda o: o(), lambda o: setattr(o, "__code__", (lambda: 3.0).__code__)
)
simple("a partial's keyword", lambda: functools.partial(lambda s: s, s=1.5), lambda o: o(),
       lambda o: o.keywords.update(s=3.0))  # fmt: skip
simple("a bound get", lambda: {"a": 1.5}, lambda o: o.get("a"), set_a)
simple("a lambda in a dict", lambda: {"f": lambda: SCALE}, lambda o: o["f"](), lambda o: set_global(3.0))


@case
def a_bound_method_of_a_dict():
    table = {"a": 1.5}
    get = table.get
    return (lambda: get("a")), (lambda: table.update(a=3.0))


@case
def a_mapping_proxy():
    table = {"a": 1.5}
    proxy, view = types.MappingProxyType(table), table.values()
    return (lambda: proxy["a"] + sum(view)), (lambda: table.update(a=3.0))


@case
def a_view_of_a_dict():
    table = {"a": 1.5}
    view = table.values()
    return (lambda: sum(view)), (lambda: table.update(a=3.0))


@case
def a_key_of_a_dict():
    key = Derived()
    table = {key: 1}
    return (lambda: next(iter(table))._scale), attribute(key, "_scale")


@case
def a_weak_reference():
    made = Data()
    found = weakref.ref(made)
    return (lambda: found().scale), (lambda made=made: setattr(made, "scale", 3.0))


@case
def a_class():
    return (lambda: Options.scale), attribute(Options)


@case
def a_class_within():
    class Inner:
        scale = 1.5

    return (lambda: Inner.scale), attribute(Inner)


@case
def a_property_of_a_metaclass():
    return (lambda: OfMeta.scale), attribute(OfMeta, "_scale")


@case
def a_property():
    made = Derived()
    return (lambda: made.scale), attribute(made, "_scale")


@case
def a_base_s_attribute():
    made = Derived()
    return (lambda: made.base), attribute(Base, "base")


@case
def a_base_s_attribute_hidden():
    made = Derived()
    return (lambda: made.base), attribute(Derived, "base")


@case
def a_class_method():
    return (lambda: Derived.of_class()), attribute(Derived, "_scale")


@case
def a_method_of_an_object_made_in_the_step():
    return (lambda: Derived().from_global()), (lambda: set_global(3.0))


@case
def a_method_exchanged():
    made = Derived()
    return (lambda: made.from_global()), (lambda: setattr(made, "from_global", lambda: 3.0))


@case
def a_descriptor():
    kind = type("Described", (), {"scale": Descriptor()})
    made = kind()
    return (lambda: made.scale), (lambda: setattr(vars(kind)["scale"], "value", 3.0))


@case
def a_function_s_attribute():
    return helper, attribute(helper)


@case
def functions_that_call_functions():
    return outer, (lambda: set_global(3.0))


@case
def a_generator():
    def numbers():
        yield SCALE

    return (lambda: next(numbers())), (lambda: set_global(3.0))


@case
def a_cached_function():
    @functools.cache
    def read():
        return SCALE

    return (lambda: read()), (lambda: (set_global(3.0), read.cache_clear()))


@case
def a_wrapped_function():
    @functools.wraps(inner)
    def wrapped():
        return inner()

    return wrapped, (lambda: set_global(3.0))


@case
def a_variable_of_a_context():
    return (lambda: variable.get()), (lambda: variable.set(3.0))


@case
def a_variable_of_a_closure():
    scale = 1.5

    def change():
        nonlocal scale
        scale = 3.0

    return (lambda: scale), change


@case
def a_module():
    return (lambda: settings.scale), attribute(settings)


@case
def a_module_s_class():
    return (lambda: settings.Options.scale), attribute(settings.Options)


@case
def a_module_of_a_package():
    return (lambda: package.settings.scale), attribute(settings)


@case
def a_module_in_a_closure():
    import settings_of_a_test as known

    return (lambda: known.scale), attribute(settings)


@case
def a_module_in_a_list():
    known = [settings]
    return (lambda: known[0].scale), attribute(settings)


@case
def a_module_imported_in_the_step():
    def read():
        import settings_of_a_test

        return settings_of_a_test.scale

    return read, attribute(settings)


@case
def a_name_imported_in_the_step():
    def read():
        from settings_of_a_test import scale

        return scale

    return read, attribute(settings)


@pytest.fixture
def numbers_reset():
    def reset():
        Options.scale = Base.base = Derived._scale = OfMeta._scale = helper.scale = 1.5
        settings.scale = settings.Options.scale = 1.5
        set_global(1.5)
        variable.set(1.5)
        vars(Derived).get("base") and delattr(Derived, "base")

    reset()
    yield reset
    reset()


@pytest.mark.parametrize("name", CASES)
def test_a_step_s_own_code_notices(name, numbers_reset):
    found = []
    for compiles in (False, True):
        numbers_reset()
        read, change = CASES[name]()
        weight = nn.Parameter(np.ones(3, F))

        def step(x, weight=weight, read=read):
            weight.grad = None
            loss = (weight * tn.Tensor(x)).sum() * read()
            loss.backward()
            return loss

        run = tn.compile(step) if compiles else step
        with running_on(loaded("numpy")):
            losses = [run(X).item() for _ in range(4)]
            assert not compiles or run._step.ready(next(iter(run._step.replays))) is not None
            change()
            losses += [run(X).item() for _ in range(3)]
        found.append(losses)
    assert found[0] == found[1] and len(set(found[0])) == 2


# ---- what a step does not use --------------------------------------------------------------------------------------


class Training:
    """What keeps a record of its steps: a list, a count, a table and an object that the step does not look at."""

    def __init__(self):
        tn.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        self.optimizer, self.criterion = optim.Adam(self.model.parameters()), nn.CrossEntropyLoss()
        self.step = tn.compile(self._step)
        self.losses, self.steps, self.best = [], 0, {}
        self.confusion, self.log = np.zeros((2, 2)), types.SimpleNamespace(lines=[])

    def _step(self, x, labels):
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(tn.Tensor(x)), labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, count):
        for _ in range(count):
            self.losses.append(self.step(X, np.zeros(4, np.int64)).item())
            self.steps += 1
            self.best[self.steps] = self.losses[-1]
            self.confusion += 1
            self.log.lines.append("a line")
            self.last = time = self.steps
            globals()["loss"] = time  # as a script does


def test_what_is_kept_beside_a_step_is_not_its_business(monkeypatch):
    training, recorded = Training(), [0]
    record = type(training.step._step).record

    def counted(*arguments):
        recorded[0] += 1
        return record(*arguments)

    monkeypatch.setattr(type(training.step._step), "record", counted)
    training.run(12)
    assert recorded[0] == 2
    training.criterion.label_smoothing = 0.1
    training.run(12)
    assert recorded[0] <= 4


def test_options_of_a_group_that_a_step_reads_are_itsnumbers_reset():
    found = []
    for compiles in (False, True):
        training = Training()

        def step(x, training=training):
            training.optimizer.zero_grad()
            group = training.optimizer.groups[0]
            loss = training.model(tn.Tensor(x)).sum() * (1 + group["weight_decay"])
            loss.backward()
            training.optimizer.step()
            return loss

        run = tn.compile(step) if compiles else step
        losses = [run(X).item() for _ in range(4)]
        training.optimizer.groups[0]["weight_decay"] = 0.5
        found.append(losses + [run(X).item() for _ in range(4)])
    assert found[0] == found[1]
