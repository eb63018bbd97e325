"""The house: imports run downward, tests are where the code is, all arithmetic on arrays is a kernel, names stay."""

import ast
import re

import numpy as np
import pytest
from backends import loaded
from gradient_cases import FUNCTIONS
from repository import ROOT, TESTS

import kernels
import tinynet as tn
from kernels import DECLARATIONS, Backend
from kernels.environment import VARIABLES
from tinynet import Tensor
from tinynet import functional as F
from tinynet.backends import running_on

# From the ground up; a module may import from those before it (and from its own package).
STOREYS = [
    "kernels.environment", "kernels.spelling kernels.text kernels.markup kernels.cpus kernels.locks kernels.memory", "kernels.ieee", "kernels.contract",
    "kernels.numba_backend.simd", "kernels.hardware", "kernels.program",
    "kernels.naive kernels.numpy_backend kernels.numba_backend.native", "kernels.numba_backend.kernels",
    "kernels.numba_backend.runtime", "kernels.numba_backend.listing", "kernels.numba_backend",
    "kernels.loader", "kernels.testing", "kernels.explanation", "kernels.scoreboard", "kernels", "kernels.__main__",
    "tinynet.version tinynet.foreign_kernels", "tinynet.warning tinynet.checks tinynet.interrupts tinynet.files", "tinynet.backends", "tinynet.precision tinynet.randomness", "tinynet.tensor", "tinynet.functional",
    "tinynet.gradients", "tinynet.nn", "tinynet.optim", "tinynet.schedule", "tinynet.tables", "tinynet.data tinynet.metrics",
    "tinynet.training", "tinynet.checkpoints tinynet.exchange", "tinynet.estimators", "tinynet.tabular", "tinynet.experiments", "tinynet.plots",
    "tinynet.rate_search", "tinynet.report", "tinynet.command", "tinynet.command_line", "tinynet", "tinynet.__main__", "train",
]  # fmt: skip
FLOOR = {name: floor for floor, names in enumerate(STOREYS) for name in names.split()}

# Modules of tinynet that touch arrays without being training arithmetic: preparing data, checking gradients
# by differences, scoring, drawing.
BESIDES = ("data/", "tables/", "estimators/", "tabular/", "experiments/", "gradients.py", "metrics.py")
# NumPy functions that move, make, order or inspect arrays without computing with them.
PERMITTED = {
    "array", "asarray", "ascontiguousarray", "empty", "zeros", "ones", "zeros_like",
            "empty_like", "full", "dtype", "shape", "argwhere",
    "isfinite", "array_equal", "trunc", "may_share_memory", "broadcast_shapes", "concatenate", "cumsum", "flatnonzero",
    "where", "array2string", "copyto", "resize", "broadcast_to",
}  # fmt: skip


def sources(package):
    files = [ROOT / "train.py"] if package == "train" else sorted((ROOT / package).rglob("*.py"))
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())) for path in files]


def module_name(path):
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def storey(module):
    """The floor of a module: its own or its nearest package's."""
    while module not in FLOOR:
        module = module.rpartition(".")[0]
    return FLOOR[module]


def unit(module):
    while module not in FLOOR:
        module = module.rpartition(".")[0]
    return module


def known(module):
    return (ROOT / (module.replace(".", "/") + ".py")).exists() or (ROOT / module.replace(".", "/")).is_dir()


def imported(path, tree):
    """Our modules that a file imports, also those that only a type checker reads."""
    module, package = module_name(path), path.endswith("__init__.py")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ("kernels", "tinynet"))
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            base = ".".join(parts[: len(parts) - node.level + package]) if node.level else ""
            source = ".".join(filter(None, [base, node.module or ""]))
            if source.split(".")[0] in ("kernels", "tinynet"):
                for alias in node.names:
                    yield f"{source}.{alias.name}" if known(f"{source}.{alias.name}") else source


def upward_imports(files):
    return [
        f"{path} imports {target}"
        for path, tree in files
        for target in imported(path, tree)
        if unit(module_name(path)) != unit(target) and storey(target) >= storey(module_name(path))
    ]


@pytest.mark.parametrize("package", ["kernels", "tinynet", "train"])
def test_imports_run_downward(package):
    assert upward_imports(sources(package)) == []


def test_an_upward_import_is_caught():
    for path, line in [
        ("kernels/naive.py", "import tinynet"),
        ("tinynet/tensor.py", "from . import functional"),
        ("tinynet/nn/layers.py", "from ..optim import Adam"),
        ("kernels/numpy_backend.py", "def f():\n from kernels.naive import exp"),
    ]:
        assert upward_imports([(path, ast.parse(line))])


def circles(imports):
    """Modules that import each other, by whatever way: each circle once."""
    reached = {}
    for start in imports:
        seen, left = set(), [start]
        while left:
            new = {target for target in imports.get(left.pop(), ()) if target not in seen}
            seen |= new
            left += new
        reached[start] = seen
    return {
        frozenset({one, *(other for other in reached[one] if one in reached.get(other, ()))})
        for one in reached
        if one in reached[one]
    }


def test_no_circles():
    """Between modules, imports for type checkers and those within functions included; a package's is its __init__'s."""
    imports = {module_name(path): set(imported(path, tree)) - {module_name(path)}
               for package in ("kernels", "tinynet", "train") for path, tree in sources(package)}  # fmt: skip
    assert circles(imports) == set()
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {frozenset({"b", "c"})}


def test_every_module_has_a_floor():
    for package in ("kernels", "tinynet"):
        for path, _ in sources(package):
            assert module_name(path).count(".") == 0 or unit(module_name(path)) not in ("kernels", "tinynet"), path


def test_the_drawing_has_the_floors_of_the_house():
    names_end, package, floors = 47, "", []
    page = (ROOT / "docs/architecture.md").read_text()
    for line in page.split("```text\n")[1].split("```")[0].splitlines():
        if line.startswith("┌"):
            package = line.split()[1].rstrip("/")
        elif line.startswith("│"):
            inside = line[1:names_end].split()
            modules = [package if name == "__init__" else f"{package}.{name.replace('/', '.')}" for name in inside]
            floors.append(set(modules))
        elif line.strip() == "train.py":
            floors.append({"train"})
    assert floors == [set(names.split()) for names in reversed(STOREYS)]


def test_tests_are_in_the_folders_of_what_they_test():
    files = sorted(TESTS.rglob("test_*.py"))
    folders = {path.parent.relative_to(TESTS) for path in files}
    assert [folder.as_posix() for folder in folders if not (ROOT / folder).is_dir()] == []
    assert [path.name for path in files if path.parent == TESTS] == ["test_architecture.py", "test_children.py"]
    names = [path.name for path in files]
    assert [name for name in names if names.count(name) > 1] == []  # pytest imports them by their names


def numpy_calls(tree):
    """Dotted names under np. that a file uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
            yield node.attr


TYPES = {"ndarray", "generic", "number", "integer", "floating", "random", "bool_"}


def arithmetic(files):
    found = []
    for path, tree in files:
        names = {name for name in numpy_calls(tree) if not re.fullmatch(r"u?int\d+|float\d+", name)}
        found += [f"{path}: np.{name}" for name in sorted(names - PERMITTED - TYPES)]
        found += [f"{path}: @" for node in ast.walk(tree)
                  if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)]  # fmt: skip
    return found


def test_no_arithmetic_by_numpy_in_the_framework():
    files = [(path, tree) for path, tree in sources("tinynet") if not path.removeprefix("tinynet/").startswith(BESIDES)]
    assert arithmetic(files) == []
    assert arithmetic([("tinynet/x.py", ast.parse("y = np.exp(x)"))]) == ["tinynet/x.py: np.exp"]
    assert arithmetic([("tinynet/x.py", ast.parse("y = x @ w"))]) == ["tinynet/x.py: @"]


def alignments(files):
    """Where an address is rounded, or a cache line's bytes are written down."""
    found = []
    for path, tree in files:
        for node in ast.walk(tree):
            rounds = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.BitAnd)
            if rounds and re.search(r"\bctypes\b|__array_interface__|\baddress\(", ast.unparse(node)):
                found.append(f"{path}: {ast.unparse(node)}")
            if isinstance(node, ast.Assign) and re.fullmatch(
                r"(?s).*\b(\w+_)?(LINE|ALIGNMENT)\b.* = .*\b64\b.*", ast.unparse(node)
            ):
                found.append(f"{path}: {ast.unparse(node)}")
    return found


def test_memory_is_aligned_in_one_place():
    files = [file for package in ("kernels", "tinynet", "benchmarks") for file in sources(package)]
    assert {place.split(":")[0] for place in alignments(files)} == {"kernels/memory.py"}
    for line in (
        "start = -memory.ctypes.data % ALIGNED",
        "low = address(x) & 63",
        "x.__array_interface__['data'][0] % 64",
        "PAGE, LINE = 4096, 64",
        "CACHE_LINE = 64",
    ):
        assert alignments([("x.py", ast.parse(line))]), line


def reads_of_the_environment(files):
    names = {"environ", "environb", "getenv", "getenvb", "expandvars"}
    return {path for path, tree in files for node in ast.walk(tree)
            if getattr(node, "attr", None) in names
            or (isinstance(node, ast.ImportFrom) and names & {alias.name for alias in node.names})}  # fmt: skip


def test_the_environment_is_read_in_one_place():
    files = [file for package in ("kernels", "tinynet", "train") for file in sources(package)]
    assert reads_of_the_environment(files) == {"kernels/environment.py"}
    for line in ("import os\nx = os.environ['X']", "from os import getenv as g", "os.path.expandvars('$X')"):
        assert reads_of_the_environment([("x.py", ast.parse(line))]) == {"x.py"}, line
    named = re.findall(r'"([A-Z]+(?:_[A-Z0-9]+)+)"', (ROOT / "kernels/environment.py").read_text())
    assert set(named) == {variable.name for variable in VARIABLES}  # the table has each


# ---- the same, watched while it runs --------------------------------------------------------------------------------


class Guarded(np.ndarray):
    """An array that refuses arithmetic outside a kernel."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        raise AssertionError(f"arithmetic outside a kernel: {ufunc.__name__}")

    def __array_function__(self, function, types, arguments, options):
        if function.__name__ not in (
            "may_share_memory",
            "shares_memory",
            "copyto",
            "shape",
            "concatenate",
            "zeros_like",
            "empty_like",
        ):
            raise AssertionError(f"arithmetic outside a kernel: {function.__name__}")
        return super().__array_function__(function, types, arguments, options)


class GuardingBackend(Backend):
    """NumPy's kernels, whose results can be used by kernels only."""

    def __init__(self):
        from kernels import numpy_backend

        super().__init__("guarding", numpy_backend.create()["implementations"])
        make_empty = self.empty
        for name in DECLARATIONS:
            setattr(self, name, self.guarded(getattr(self, name)))
        self.empty = lambda shape, dtype: make_empty(shape, dtype).view(Guarded)

    def guarded(self, method):
        def bare(value):
            return value.view(np.ndarray) if isinstance(value, np.ndarray) else value

        def call(*arguments, **options):
            before = self.empty
            self.empty = lambda shape, dtype: np.empty(shape, dtype)  # compositions call the checked methods
            try:
                results = method(*map(bare, arguments), **{name: bare(value) for name, value in options.items()})
            finally:
                self.empty = before
            if isinstance(results, tuple):
                return tuple(result.view(Guarded) for result in results)
            return results.view(Guarded) if isinstance(results, np.ndarray) and results.dtype.kind == "f" else results

        return call


def run_guarded(function, inputs):
    for x in inputs:
        x.data = x.data.view(Guarded)
    with running_on(GuardingBackend()):
        output = function(*inputs)
        output.backward(None if output.size == 1 else np.ones(output.shape))
    return [x.grad for x in inputs]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_computes_by_kernels_only(name):
    for row in FUNCTIONS[name].values():
        assert all(isinstance(gradient, np.ndarray) for gradient in run_guarded(row.function, row.inputs()))


def test_arithmetic_outside_a_kernel_is_caught():
    from tinynet.tensor import result

    x = Tensor(np.ones((2, 2)), requires_grad=True)
    with pytest.raises(AssertionError, match="outside a kernel: exp"):
        run_guarded(lambda x: result(np.exp(x.data), (x,), lambda g: (g,)), [x])
    with pytest.raises(AssertionError, match="outside a kernel: multiply"):
        run_guarded(lambda x: result(F.exp(x).data, (x,), lambda g: (g.view(Guarded) * 2,)), [x])


def test_a_training_step_computes_by_kernels_only():
    tn.manual_seed(0)
    model = tn.nn.multilayer_perceptron(4, (8,), 3, dropout=0.2, norm="batch")
    rng = np.random.default_rng(0)
    for make in tn.optim.OPTIMIZERS.values():
        trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), make(model.parameters()), GuardingBackend(), clip_norm=1.0,
                             progress=False, compile=False)  # fmt: skip
        for parameter in model.parameters():
            parameter.data = parameter.data.view(np.ndarray).view(Guarded)
        history = trainer.fit(rng.normal(size=(20, 4)), rng.integers(0, 3, 20), epochs=2, batch_size=8)
        assert len(history.train_loss) == 2


# ---- public names -------------------------------------------------------------------------------------------------


def test_public_names():
    assert {"DECLARATIONS", "Backend", "BackendUnavailable", "available", "explain", "load", "names"} < set(
        kernels.__all__
    )
    assert set(tn.__all__) == {
        "CheckpointError", "CompiledStep", "EarlyStopping", "History", "MLPClassifier", "MLPRegressor", "NonFiniteLoss",
        "NotReplayable", "RateSearch", "Source", "TabularClassifier", "TabularRegressor", "Tensor", "Trainer", "WeightAverage", "__version__", "compile", "current_backend", "data", "estimator_from_sklearn", "export_onnx", "find_learning_rate",
        "from_sklearn", "from_torch_state_dict", "functional", "gradcheck", "load_checkpoint", "load_estimator",
        "manual_seed", "nn", "no_grad", "optim", "save_checkpoint", "scan", "schedule", "use_backend", "use_precision",
    }  # fmt: skip
    for package in (tn, tn.nn, tn.optim, tn.functional, tn.data, kernels):
        assert all(hasattr(package, name) for name in package.__all__), package
    assert loaded("numpy").name == "numpy" and loaded("numpy").options == {}
