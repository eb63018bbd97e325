"""An activation is added in three places: docs/adding-a-kernel.md says which, and all else follows from them."""

import re
import shutil
import sys

import pytest
from children import finished
from repository import ROOT, copied

PAGE = (ROOT / "docs/adding-a-kernel.md").read_text().split("\n## ")[1]
STEPS = re.findall(r"^\*\*\d\. .*? in `([\w/]+\.py)`.*?```python\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE)

# Each asks for one thing that follows. Run in the copy, where softsign is.
FOLLOWS = {
    "the three backends conform": """
        import kernels
        from kernels import testing
        for name in ("naive", "numpy", "numba"):
            backend = kernels.load(name)
            for trial in testing.trials():
                if trial.kernel in ("softsign", "softsign_gradient"):
                    assert trial.run(backend) == [], trial.run(backend)[0]
        assert {"softsign", "softsign_gradient"} <= backend.native
    """,
    "gradients are checked": """
        import tinynet as tn
        from gradient_cases import FUNCTIONS, LAYERS
        assert FUNCTIONS["softsign"] and LAYERS["Softsign"] is tn.nn.Softsign
        with tn.use_backend("numpy"):
            for table in ("softsign", "linear"):
                for row in FUNCTIONS[table].values():
                    assert tn.gradcheck(row.function, row.inputs())
    """,
    "it is a function and a module": """
        import pickle
        from tinynet import functional as F, nn
        assert "softsign" in F.__all__ and "Softsign" in nn.__all__ and nn.ACTIVATIONS["softsign"] is nn.Softsign
        assert repr(pickle.loads(pickle.dumps(nn.Softsign()))) == "Softsign()"
        assert nn.Softsign.__doc__ == "y = x / (1 + |x|)."
    """,
    "a recorded step fuses it, both ways": """
        import numpy as np, tinynet as tn
        from tinynet import nn, optim
        X, y = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32), np.arange(20) % 3

        def trained(backend, replayed):
            tn.manual_seed(0)
            with tn.use_backend(backend):
                model = nn.multilayer_perceptron(4, (8, 8), 3, "softsign")
                optimizer = optim.SGD(model.parameters(), lr=0.1)

                def step(x, labels):
                    optimizer.zero_grad()
                    loss = nn.CrossEntropyLoss()(model(tn.Tensor(x)), labels)
                    loss.backward()
                    optimizer.step()
                    return loss

                step = tn.compile(step) if replayed else step
                return [step(X, y).item() for _ in range(5)], step

        replayed, step = trained("numba", True)
        kernels = [instruction.kernel for instruction in step.program.instructions]
        assert "softsign" not in kernels and kernels.count("matmul_gradient") == 2, kernels
        assert replayed == trained("numba", False)[0]
        np.testing.assert_allclose(replayed, trained("numpy", False)[0], rtol=1e-5)
    """,
    "a layer ends with it": """
        import numpy as np, tinynet as tn
        from tinynet import nn
        layer, x = nn.Linear(4, 3, activation="softsign"), tn.Tensor(np.ones((5, 4), np.float32))
        results = []
        for name in ("numpy", "numba"):
            with tn.use_backend(name):
                results.append(layer(x).numpy())
        np.testing.assert_allclose(*results, rtol=1e-5)
    """,
    "the command and the estimators take it": """
        import tinynet as tn
        from sklearn.datasets import load_iris
        from tinynet.command.command_line import parser
        assert parser().parse_args(["--activation", "softsign"]).activation == "softsign"
        model = tn.MLPClassifier((16,), activation="softsign", backend="numpy", max_iter=100, learning_rate_init=0.01)
        assert model.fit(*load_iris(return_X_y=True)).score(*load_iris(return_X_y=True)) > 0.9
    """,
    "it is timed": """
        import sys; sys.path.append("benchmarks")
        from of_kernels.cases import TIMED
        assert {"softsign", "softsign_gradient"} <= {line.kernel for line in TIMED}
    """,
    "it is exported": """
        import onnx, tinynet as tn
        from tinynet import nn
        tn.export_onnx(nn.Sequential(nn.Linear(4, 3), nn.Softsign()), "model.onnx")
        kinds = [node.op_type for node in onnx.load("model.onnx").graph.node]
        assert kinds == ["Gemm", "Abs", "Add", "Div"], kinds
    """,
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository to which the page's steps were applied."""
    top = copied(tmp_path_factory.mktemp("copy"), "kernels", "tinynet", "benchmarks")
    (top / "tests").mkdir()
    shutil.copy(ROOT / "tests/gradient_cases.py", top / "tests")
    for path, code in STEPS:
        with (top / path).open("a") as file:
            file.write(f"\n\n{code}")
    return top


def test_the_places_are_three():
    assert [path for path, _ in STEPS] == [
        "kernels/contract/activations.py",
        "kernels/numba_backend/kernels/activations.py",
        "tinynet/functional/activations.py",
    ]


@pytest.mark.parametrize("what", FOLLOWS)
def test_from_the_three_places_follows_that(copy, what, monkeypatch):
    if what == "it is exported":
        pytest.importorskip("onnx")
    monkeypatch.setenv("PYTHONPATH", f"{copy}:{copy / 'tests'}")
    monkeypatch.setenv("TINYNET_CACHE_DIR", str(copy / "cache"))
    lines = FOLLOWS[what].splitlines()
    body = "\n".join(line[8:] for line in lines)
    done = finished([sys.executable, "-c", f"import kernels, tinynet\n{body}"], 240, cwd=copy)
    assert done.returncode == 0, done.stderr


def test_a_place_that_is_left_out_is_named(copy, tmp_path, monkeypatch):
    """Without the expression for vectors, the numba backend says what it lacks as soon as it is loaded."""
    shutil.copytree(copy / "kernels", tmp_path / "kernels")
    shutil.copy(ROOT / STEPS[1][0], tmp_path / STEPS[1][0])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = finished([sys.executable, "-c", "import kernels; kernels.load('numba')"], cwd=tmp_path)
    assert done.returncode and "lacks 'softsign'" in done.stderr, done.stderr
