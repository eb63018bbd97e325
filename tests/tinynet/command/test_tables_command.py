"""The command on tables as they come, and ``predict``: what is refused gets one line and exit status 2."""

import json
import os
import signal
import sys
import threading

import numpy as np
import polars as pl
import pytest
from children import ENVIRONMENT, finished, started
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


# ---- predict: one trained file ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with estimators of the target `bought` (classes) and `price`, from a number, a text and a date."""
    folder, rng = tmp_path_factory.mktemp("models"), np.random.default_rng(0)
    frame = pl.DataFrame({
        "age": rng.integers(18, 80, 60), "city": rng.choice(["Rome", "Oslo", "Bonn"], 60),
        "since": [f"2020-01-{day:02d}" for day in rng.integers(1, 28, 60)],
    })  # fmt: skip
    options = {"max_epochs": 2, "hidden_layer_sizes": 8, "random_state": 0, "backend": "numpy"}
    classes = tn.TabularClassifier(**options).fit(frame, np.where(frame["city"] == "Oslo", "yes", "no"))
    tn.save_checkpoint(folder / "classes", classes, {"target": "bought"})
    tn.save_checkpoint(folder / "numbers", tn.TabularRegressor(**options).fit(frame, frame["age"]), {"target": "price"})
    pair = tn.TabularRegressor(**options, loss="quantile", quantiles=[0.1, 0.9]).fit(frame, frame["age"])
    tn.save_checkpoint(folder / "quantiles", pair, {"target": "price"})
    frame.write_csv(folder / "shop.csv")
    return folder


def predict(models, *arguments):
    return main(["predict", str(models / arguments[0]), *map(str, arguments[1:])])


def test_predict_takes_rows_that_differ_from_those_of_training(models, tmp_path, capsys):
    """More columns in another order, text never seen, blanks where none were, infinity."""
    table = tmp_path / "new.csv"
    table.write_text('more,since,city,age\n1,2021-02-03,Paris,30\n2,,,\n3,2020-01-02,"x,y",inf\n')
    assert predict(models, "classes", table, "--proba") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "no,yes" and len(rows) == 3
    assert all(abs(sum(map(float, row.split(","))) - 1) < 1e-6 for row in rows)
    assert predict(models, "quantiles", table) == 0
    assert capsys.readouterr().out.splitlines()[0] == "price_0.1,price_0.9"


def test_columns_may_come_in_any_order(models, tmp_path, capsys):
    pl.read_csv(models / "shop.csv").select("city", "since", "age").write_csv(tmp_path / "turned.csv")
    assert [predict(models, "numbers", file) for file in (models / "shop.csv", tmp_path / "turned.csv")] == [0, 0]
    said = capsys.readouterr().out.splitlines()
    assert said[:61] == said[61:] and said[0] == "price"


UNFIT = {
    "lacking": ("classes", "age,since\n3,2020-01-01\n", [], "lacks the column 'city'"),
    "no row": ("classes", "age,city,since\n", [], "no row of data"),
    "empty": ("classes", "", [], "the file is empty"),
    "no number": ("classes", "age,city,since\nold,Rome,2020-01-01\n", [], "column 'age' has 'old' in row 0"),
    "no date": ("classes", "age,city,since\n3,Rome,soon\n", [], "column 'since' has 'soon' in row 0"),
    "quantities": ("numbers", "age,city,since\n3,Rome,2020-01-01\n", ["--proba"], "--proba is for classes"),
    "no model": ("shop.csv", "age,city,since\n3,Rome,2020-01-01\n", [], "is not a safetensors file"),
}


@pytest.mark.parametrize(("model", "content", "more", "said"), UNFIT.values(), ids=UNFIT)
def test_what_cannot_be_predicted_leaves_the_older_file(models, tmp_path, capsys, model, content, more, said):
    table, out = tmp_path / "new.csv", tmp_path / "out.csv"
    table.write_text(content)
    out.write_text("older")
    assert predict(models, model, table, "--output", out, *more) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert out.read_text() == "older" and len(list(tmp_path.iterdir())) == 2


def test_predict_replaces_a_file_and_writes_through_links_and_pipes(models, tmp_path):
    out, link, pipe = tmp_path / "out.csv", tmp_path / "link.csv", tmp_path / "pipe"
    out.write_text("older")
    out.chmod(0o600)
    link.symlink_to(out)
    os.mkfifo(pipe)
    assert predict(models, "classes", models / "shop.csv", "--output", link) == 0
    found = out.read_text()
    assert found.startswith("bought\n") and link.is_symlink() and out.stat().st_mode & 0o777 == 0o600
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert predict(models, "classes", models / "shop.csv", "--output", pipe) == 0
    reader.join()
    assert read == [found] and pipe.is_fifo()
    assert predict(models, "classes", models / "shop.csv", "--output", tmp_path / "p.parquet") == 0
    assert pl.read_parquet(tmp_path / "p.parquet")["bought"].to_list() == found.split()[1:]


# ---- interruptions ---------------------------------------------------------------------------------------------------

SIGNALS = pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
TELLING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from tinynet.command.command_line import main
{before}
sys.exit(main(sys.argv[1:]))
"""
TELL_EPOCHS = """
from tinynet.tabular.validation import BestEpoch
call = BestEpoch.__call__
def told(self, *arguments):
    stops = call(self, *arguments)
    if len(self.scores) == 2:
        print("begins", file=sys.stderr, flush=True)
    return stops
BestEpoch.__call__ = told
"""
TELL_READING = """
import tinynet.tables
def read_table(*arguments):
    print("begins", file=sys.stderr, flush=True)
    time.sleep(60)
tinynet.tables.read_table = read_table
"""


def stopped(before, sent, folder, *arguments):
    """Exit status and what was said after a signal that comes when the process says that it begins."""
    command = [sys.executable, "-c", TELLING.format(before=before), *map(str, arguments)]
    with started(command, cwd=folder, env=ENVIRONMENT) as process:
        for line in process.stderr:
            if line == "begins\n":
                break
        process.send_signal(sent)
        _, said = process.communicate()
    assert "Traceback" not in said, said
    return process.returncode, said


@SIGNALS
@pytest.mark.parametrize("members", [1, 2])
def test_what_was_trained_until_a_signal_is_saved(shop, tmp_path, sent, status, members):
    more = ["--epochs", 10**6, "--members", members, "--backend", "numpy", "--save", "m", "--json", "out.json"]
    found, said = stopped(TELL_EPOCHS, sent, tmp_path, "--dataset", shop, "--target", "bought", *more)
    assert found == status and "m holds what was trained" in said, said
    assert len(tn.load_estimator(tmp_path / "m").members_) == members and (tmp_path / "out.json").exists()


@SIGNALS
def test_a_signal_before_there_is_anything_to_keep_writes_nothing(shop, models, tmp_path, sent, status):
    training = ["--dataset", shop, "--target", "bought", "--save", "m"]
    assert stopped(TELL_READING, sent, tmp_path, *training) == (status, "")
    predicting = ["predict", models / "classes", shop, "--output", "m"]
    assert stopped(TELL_READING, sent, tmp_path, *predicting) == (status, "")
    assert [path.name for path in tmp_path.iterdir()] == ["shop.csv"]


def test_pictures_and_pages_of_tables(shop, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    page, picture = tmp_path / "r.html", tmp_path / "p.svg"
    arguments = ["--dataset", str(shop), "--target", "bought", "--epochs", "2", "--backend", "numpy", "--quiet"]
    assert main([*arguments, "--report", str(page), "--plot", str(picture)]) == 0
    assert "no recorded step to look into: the tabular model keeps none" in page.read_text() and picture.exists()
    assert main([*arguments, "--roofline", str(tmp_path / "x.png")]) == 2
    assert "--roofline is for --model mlp" in capsys.readouterr().err
