"""A loss and an optimizer are added in three places each: docs/adding-a-kernel.md says which, all else follows."""

import re
import shutil
import sys
import textwrap

import pytest
from children import finished
from repository import ROOT, copied

STEP = re.compile(r"^\*\*\d\. .*? in `([\w/]+\.py)`.*?```python\n(.*?)```", flags=re.DOTALL | re.MULTILINE)
PAGE = {part.partition("\n")[0]: part for part in (ROOT / "docs/adding-a-kernel.md").read_text().split("\n## ")}
STEPS = {what: STEP.findall(PAGE[what]) for what in ("A loss", "An optimizer")}

TRAINED = """
    import kernels, numpy as np, tinynet as tn
    from tinynet import nn, optim
    X, y = np.random.default_rng(0).normal(size=(40, 4)), np.random.default_rng(1).normal(size=(40, 3))

    def trained(backend, loss=nn.MSELoss, make=optim.SGD, replayed=False, dtype="float64"):
        tn.manual_seed(0)
        model = nn.multilayer_perceptron(4, (8,), 3).to(dtype)
        trainer = tn.Trainer(model, loss(), make(model.parameters(), lr=0.01), backend, progress=False, compile=replayed)
        losses = trainer.fit(X.astype(dtype), y.astype(dtype), epochs=2, batch_size=8).train_loss
        return losses, [p.numpy().tobytes() for p in model.parameters()], trainer.program
"""
# Each asks for one thing that follows. Run in the copy.
FOLLOWS = {
    "the three backends conform": """
        import kernels
        from kernels import testing
        for name in ("naive", "numpy", "numba"):
            backend = kernels.load(name)
            for trial in testing.trials():
                if trial.kernel in ("log_cosh", "adamax"):
                    assert trial.run(backend) == [], trial.run(backend)[0]
        assert {"log_cosh", "adamax"} <= backend.native
    """,
    "the loss is a function and a module": """
        import pickle, tinynet as tn
        from gradient_cases import FUNCTIONS
        from tinynet import functional as F, nn
        assert "log_cosh_loss" in F.__all__ and "LogCoshLoss" in nn.__all__
        assert pickle.loads(pickle.dumps(nn.LogCoshLoss("sum"))).reduction == "sum"
        with tn.use_backend("numpy"):
            for row in FUNCTIONS["log_cosh_loss"].values():
                assert tn.gradcheck(row.function, row.inputs())
    """,
    "the optimizer is the command's": """
        from tinynet import optim
        from tinynet.command.command_line import parser
        from tinynet.experiments.experiment import Options
        assert optim.OPTIMIZERS["adamax"] is optim.Adamax and "Adamax" in optim.__all__
        assert parser().parse_args(["--optimizer", "adamax"]).optimizer == "adamax"
        assert Options(optimizer="adamax").lr == optim.Adamax.suited[0]
    """,
    "a recorded step equals the eager one, on one thread and two": TRAINED + """
    for chosen, kernel in ({"loss": nn.LogCoshLoss}, "log_cosh"), ({"make": optim.Adamax}, "adamax"):
        one, two = (kernels.load("numba", threads=threads) for threads in (1, 2))
        eager, weights, _ = trained(one, **chosen, dtype="float32")
        for backend in (one, two):
            losses, replayed, program = trained(backend, **chosen, replayed=True, dtype="float32")
            assert kernel in {instruction.kernel for instruction in program.instructions}
            assert (losses, replayed) == (eager, weights)
    """,
    "backends agree": TRAINED + """
    for chosen in {"loss": nn.LogCoshLoss}, {"make": optim.Adamax}:
        np.testing.assert_allclose(trained("numba", **chosen)[0], trained("numpy", **chosen)[0], rtol=1e-9)
    """,
    "an update comes as soon as its gradient, and threads keep to their parts": """
        from kernels.numba_backend.runtime.footprints import split_of
        from kernels.program.passes import UPDATES
        assert "adamax" in UPDATES and split_of("adamax", ()) == split_of("adam", ())
        assert split_of("log_cosh", ()) == split_of("squared_error", ())
    """,
    "they are timed": """
        import sys; sys.path.append("benchmarks")
        from of_kernels.cases import TIMED
        assert {"log_cosh", "adamax"} <= {line.kernel for line in TIMED}
    """,
}  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository to which the page's steps were applied."""
    top = copied(tmp_path_factory.mktemp("copy"), "kernels", "tinynet", "benchmarks")
    (top / "tests").mkdir()
    shutil.copy(ROOT / "tests/gradient_cases.py", top / "tests")
    for path, code in (step for steps in STEPS.values() for step in steps):
        with (top / path).open("a") as file:
            file.write(f"\n\n{code}")
    return top


def test_the_places_are_three_each():
    assert {what: [path for path, _ in steps] for what, steps in STEPS.items()} == {
        "A loss": [
            "kernels/contract/losses.py",
            "kernels/numba_backend/kernels/losses.py",
            "tinynet/functional/losses.py",
        ],
        "An optimizer": [
            "kernels/contract/optimizers.py",
            "kernels/numba_backend/kernels/optimizers.py",
            "tinynet/optim/optimizers.py",
        ],
    }


@pytest.mark.parametrize("what", FOLLOWS)
def test_from_the_three_places_follows_that(copy, what, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{copy}:{copy / 'tests'}")
    monkeypatch.setenv("TINYNET_CACHE_DIR", str(copy / "cache"))
    done = finished([sys.executable, "-c", textwrap.dedent(FOLLOWS[what])], 240, cwd=copy)
    assert done.returncode == 0, done.stderr
