"""The command on tables as they come, and ``predict``: what is refused gets one line and exit status 2."""

import json
import sys

import numpy as np
import pytest
from children import ENVIRONMENT, finished
from repository import ROOT

import tinynet as tn
from tinynet.command.command_line import main
from tinynet.tables.reading import READERS
from tinynet.tables.sources import TABLE_SUFFIXES


def train(folder, *arguments):
    return finished([sys.executable, str(ROOT / "train.py"), *map(str, arguments)], cwd=folder, env=ENVIRONMENT)


@pytest.fixture
def shop(tmp_path):
    """120 rows of a number with blanks, a text and a date; what is bought depends on the text."""
    rng = np.random.default_rng(0)
    rows = ["age,city,since,bought"]
    for _ in range(120):
        city = rng.choice(["Rome", "Oslo", "Bonn"])
        age = rng.integers(18, 80) if rng.random() > 0.1 else ""
        rows.append(f"{age},{city},2020-01-{rng.integers(1, 28):02d},{'yes' if city == 'Oslo' else 'no'}")
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_every_file_type_is_known_without_reading():
    assert tuple(READERS) == TABLE_SUFFIXES


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_text_blanks_and_dates_go_in(shop, tmp_path, backend):
    out = tmp_path / "out.json"
    status = main(["--dataset", str(shop), "--target", "bought", "--epochs", "30", "--backend", backend, "--quiet",
                   "--json", str(out)])  # fmt: skip
    (found,) = json.loads(out.read_text())["runs"]
    assert status == 0 and found["test_score"] > 0.95 and found["score_name"] == "accuracy"
    assert found["model"] == "tabular" and found["options"]["epochs"] == 30 and found["members"] == 1


def test_columns_are_printed_without_training(shop, capsys):
    assert main(["--dataset", str(shop), "--target", "bought", "--columns", "--categorical", "age"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["age", "category"], ["city", "category"], ["since", "date"]]


ROWS = "\n".join(f"{i % 7},{'ab'[i % 2]}" for i in range(40))
BAD = {
    "blank target": ("x,y\n1,\n2,a\n3,b\n4,a\n", [], "'y' is blank in row 0"),
    "one class": ("x,y\n1,a\n2,a\n3,a\n4,a\n", [], "'y' is 'a' in all 4 rows"),
    "duplicate names": ("x,x,y\n1,2,a\n3,4,b\n", [], "'x'"),
    "nothing to learn from": ("x,y\n" + "\n".join(f"1,{'ab'[i % 2]}" for i in range(40)), [], "'x' is left out"),
    "one row": ("x,y\n1,a\n", [], "2 rows"),
    "infinite target": ("x,y\n1,1.5\n2,inf\n3,2.5\n4,3.5\n", [], "row 1"),
    "no such target": ("x,z\n" + ROWS, [], "'y'"),
    "no such column": ("x,y\n" + ROWS, ["--ignore", "z"], "'z'"),
    "other model's option": ("x,y\n" + ROWS, ["--schedule", "cosine"], "--schedule is for --model mlp"),
    "unknown metric": ("x,y\n" + ROWS, ["--metric", "acuracy"], "did you mean 'accuracy'"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "more", "said"), BAD.values(), ids=BAD)
def test_bad_tables_get_one_line_and_nothing_is_written(tmp_path, content, more, said):
    (tmp_path / "bad.csv").write_text(content)
    done = train(tmp_path, "--dataset", "bad.csv", "--target", "y", "--quiet", "--json", "out.json", *more)
    assert done.returncode == 2 and done.stdout == "", done
    assert said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_options_of_the_tabular_model_are_refused_with_the_other(capsys):
    assert main(["--dataset", "iris", "--members", "2"]) == 2
    assert "--members is for --model tabular" in capsys.readouterr().err


@pytest.fixture
def saved(tmp_path):
    """A saved MLPClassifier of the columns a and b, and the estimator."""
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    estimator = tn.MLPClassifier((8,), max_iter=5, random_state=0, early_stopping=False)
    estimator.n_iter_no_change = 5
    with pytest.warns(Warning, match="iterations"):
        estimator.fit(X, np.where(X["a"] > 0, "up", "down"))
    tn.save_checkpoint(tmp_path / "m.safetensors", estimator, {"target": "way"})
    X[["b", "a"]].assign(way="?").to_csv(tmp_path / "new.csv", index=False)
    return tmp_path, estimator, X


def test_predictions_are_those_of_the_estimator(saved, capsys):
    folder, estimator, X = saved
    model, new, out = (str(folder / name) for name in ("m.safetensors", "new.csv", "out.csv"))
    assert main(["predict", model, new]) == 0
    assert capsys.readouterr().out.splitlines() == ["way", *estimator.predict(X)]
    assert main(["predict", model, new, "--proba", "--output", out]) == 0
    with open(out) as file:
        assert file.readline() == "down,up\n"
    np.testing.assert_allclose(np.loadtxt(out, delimiter=",", skiprows=1), estimator.predict_proba(X), rtol=1e-5)


def test_predict_names_a_column_that_is_missing(saved, capsys):
    folder, *_ = saved
    (folder / "less.csv").write_text("a\n1.5\n2.5\n")
    out = folder / "out.csv"
    assert main(["predict", str(folder / "m.safetensors"), str(folder / "less.csv"), "--output", str(out)]) == 2
    said = capsys.readouterr().err
    assert "lacks the column 'b'" in said and said.count("\n") == 1 and not out.exists()


def test_predict_refuses_a_trainers_checkpoint(shop, tmp_path, capsys):
    run = str(tmp_path / "run.safetensors")
    assert main(["--dataset", "iris", "--epochs", "1", "--backend", "numpy", "--quiet", "--save", run]) == 0
    assert main(["predict", run, str(shop)]) == 2
    assert "--model tabular --save" in capsys.readouterr().err


def test_a_table_is_trained_saved_and_predicted_in_other_processes(shop, tmp_path):
    done = train(tmp_path, "--dataset", "shop.csv", "--target", "bought", "--epochs", "30", "--save", "m.safetensors")
    assert done.returncode == 0, done
    found = train(tmp_path, "predict", "m.safetensors", "shop.csv", "--output", "p.csv")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    said, true = ((tmp_path / name).read_text().splitlines() for name in ("p.csv", "shop.csv"))
    assert said[0] == "bought" and len(said) == len(true)
    assert sum(a == b.rsplit(",", 1)[1] for a, b in zip(said[1:], true[1:], strict=True)) > 110
