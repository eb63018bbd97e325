"""Types as a user's checker sees them: a script with own modules, losses, callbacks and backends has no complaint."""

import importlib.util
import runpy
import sys
import tomllib
import warnings

import pytest
from children import ENVIRONMENT, finished
from repository import ROOT, TESTS

SCRIPT = TESTS / "tinynet" / "typed_script.py"


def checked(script, tmp_path, *command):
    """What a checker says, from a folder that has none of our settings."""
    return finished([sys.executable, "-m", *command, str(script)], 300, cwd=tmp_path, env=ENVIRONMENT)


def by_mypy(script, tmp_path):
    pytest.importorskip("mypy", reason="mypy is in the extra 'test'")
    cache = ROOT / ".mypy_cache" / "user"  # numpy's and our own types take half a minute to read
    return checked(script, tmp_path, "mypy", "--strict", "--config-file=", f"--cache-dir={cache}")


def test_a_users_script_passes_mypy_strict(tmp_path):
    found = by_mypy(SCRIPT, tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr


def test_mistakes_are_seen(tmp_path):
    script = tmp_path / "wrong.py"
    script.write_text(
        "import kernels\nimport tinynet as tn\nbackend = kernels.load('numpy')\nbackend.mattmul(1, 2)\n"
        "backend.fill(1.0)\nname: str = tn.Tensor(1.0).exp()\n"
    )
    found = by_mypy(script, tmp_path)
    assert found.returncode == 1 and [f"wrong.py:{line}: error" in found.stdout for line in (4, 5, 6)] == [True] * 3, (
        found.stdout
    )


def test_a_users_script_passes_pyright(tmp_path):
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    found = checked(SCRIPT, tmp_path, "pyright", "--pythonpath", sys.executable)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.filterwarnings("default")
def test_the_script_runs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's: two epochs are few
        runpy.run_path(str(SCRIPT), run_name="__main__")


def test_both_packages_say_that_they_are_typed():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in ("kernels", "tinynet"):
        files = [file for file in data[package] if not (ROOT / package / file).is_file()]
        assert "py.typed" in data[package] and files == []
