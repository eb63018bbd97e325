"""The tables' benchmark: splits, one fit's measures, resuming, what the summary says, bad options. No peer is needed."""

import importlib.util
import json
import sys
from typing import ClassVar

import numpy as np
import pytest
from repository import ROOT
from sklearn.linear_model import LogisticRegression, Ridge

pd = pytest.importorskip("pandas")

sys.path.append(str(ROOT / "benchmarks"))

from of_tables import data, measure, report, summary  # noqa: E402
from of_tables.contenders import (  # noqa: E402
    CONTENDERS,
    KNOWN,
    VARIANTS,
    Contender,
    FrequentLevels,
    Setting,
    blanks_as_level,
    encoded,
    filled,
)
from of_tables.picture import draw, points  # noqa: E402


@pytest.fixture
def benchmark(monkeypatch):
    """Runs the command in this process; returns its exit status."""
    spec = importlib.util.spec_from_file_location("tables_benchmark", ROOT / "benchmarks" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)

    def run(*options, **replaced):
        monkeypatch.setattr(sys, "argv", ["tables.py", *map(str, options)])
        for name, value in replaced.items():
            monkeypatch.setattr(module, name, value)
        return module.main()

    return run


def frame(rows=60):
    """Numbers and text, both with blanks."""
    numbers = np.arange(rows, dtype=float)
    letters = np.array(list("abcdef"), object)[np.arange(rows) % 6]
    numbers[3], letters[4] = np.nan, None
    return pd.DataFrame(
        {"number": numbers, "count": np.arange(rows), "letter": letters, "flag": np.arange(rows) % 2 == 0}
    )


def loaded(task, rows=60):
    y = np.arange(rows) % 3 if task == data.CLASSIFICATION else np.arange(rows, dtype=float)
    return data.Data(data.typed(frame(rows)), y, task)


# ---- tables and splits ---------------------------------------------------------------------------------------------


def test_there_are_enough_tables_of_each_kind():
    tables = data.TABLES.values()
    held_back = [table for table in tables if table.held_back]
    assert len(tables) >= 14 and len(tables) / 4 <= len(held_back) <= len(tables) / 2
    for of_some in (tables, held_back):
        assert {table.task for table in of_some} == {data.CLASSIFICATION, data.REGRESSION}
    assert all(table.why for table in tables if table.dropped)


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes"])
def test_splits_are_fixed_and_hold_each_row_once(name):
    table = data.TABLES[name].load()
    for number in range(3):
        train, test = table.split(number)
        assert sorted([*train, *test]) == list(range(len(table.y)))
        assert len(test) == pytest.approx(len(table.y) / 5, abs=1)
        assert all((a == b).all() for a, b in zip(data.TABLES[name].load().split(number), (train, test), strict=True))
    assert sorted(table.split(0)[1]) != sorted(table.split(1)[1])


def test_splits_are_those_of_all_machines():
    assert loaded(data.CLASSIFICATION, 15).split(0)[1].tolist() == [8, 10, 12]
    assert loaded(data.REGRESSION, 15).split(0)[1].tolist() == [1, 6, 8]


def test_classes_are_split_in_proportion():
    X, y = pd.DataFrame({"x": np.arange(100.0)}), np.repeat([0, 1], [90, 10])
    _, test = data.Data(X, y, data.CLASSIFICATION).split(2)
    assert np.bincount(y[test]).tolist() == [18, 2]


def test_text_and_booleans_become_categories_and_blanks_stay():
    found = loaded(data.REGRESSION)
    assert (found.numbers, found.categories) == (["number", "count"], ["letter", "flag"])
    assert found.X["letter"].cat.categories.tolist() == list("abcdef") and found.X["letter"].isna().sum() == 1
    assert found.X["flag"].cat.categories.tolist() == ["False", "True"] and found.X["number"].isna().sum() == 1


def test_a_table_loses_dropped_columns_and_rows_without_a_target(monkeypatch):
    monkeypatch.setattr(data, "raw", lambda origin: frame().assign(id=range(60)))
    table = data.Table("made", "sklearn/made", "letter", data.CLASSIFICATION, ("id",), "a name of the row", drawn=40)
    found, again = table.load(), table.load()
    assert found.X.columns.tolist() == ["number", "count", "flag"] and len(found.y) == 40
    assert set(found.y) == set(range(6)) and found.X.equals(again.X)
    assert 4 not in set(found.X["count"])  # whose target is blank


# ---- contenders ----------------------------------------------------------------------------------------------------


def test_levels_that_are_rare_or_blank():
    X = data.typed(pd.DataFrame({"x": ["a", "a", "b", "b", "c", None]}))
    kept = FrequentLevels(2).fit(X).transform(X)["x"]
    assert kept.cat.categories.tolist() == ["a", "b"] and kept.isna().tolist() == [False] * 4 + [True] * 2
    assert FrequentLevels(3).fit(X).transform(X).equals(X)
    assert blanks_as_level(X)["x"].tolist() == ["a", "a", "b", "b", "c", "(blank)"]


def test_filled_numbers_have_no_blanks_and_categories_stay():
    found = loaded(data.REGRESSION)
    X = filled(found).fit_transform(found.X)
    assert not X[["number", "count"]].isna().any().any() and X.shape[1] == 5  # one more that says where blanks were
    assert str(X["letter"].dtype) == "category"


class Mean:
    """Predicts the mean, or the classes' shares."""

    fits = 0

    def fit(self, X, y):
        type(self).fits += 1
        self.y = y
        return self

    def predict(self, X):
        return np.full(len(X), self.y.mean())

    def predict_proba(self, X):
        return np.tile(np.bincount(self.y, minlength=3) / len(self.y), (len(X), 1)).astype(np.float32)

    def get_params(self, deep=True):
        return {}

    def set_params(self):
        return self


@pytest.mark.parametrize(("task", "score"), [(data.CLASSIFICATION, 0.5), (data.REGRESSION, 0.0)])
def test_a_fit_is_measured(monkeypatch, task, score):
    table = data.Table("made", "sklearn/made", "y", task)
    monkeypatch.setattr(data.Table, "load", lambda self: loaded(task))
    monkeypatch.setattr(Mean, "fits", 0)
    measurer = measure.Measurer(Contender("mean", "sklearn", lambda setting: Mean()), 1)
    results = [measurer.result(table, split) for split in (0, 1)]
    assert Mean.fits == 3  # one of them before anything is measured
    for result in results:
        assert result["score"] == pytest.approx(score, abs=0.6) and (result["rows"], result["columns"]) == (60, 4)
        times = [value for name, value in result.items() if name.endswith(("_seconds", "_microseconds"))]
        assert len(times) == 4 and all(np.isfinite(times)) and min(times) >= 0


def test_scores():
    assert measure.score(data.REGRESSION, np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [3.0]])) == 1.0
    two = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert measure.score(data.CLASSIFICATION, np.array([0, 1, 0]), two) == 1.0
    assert measure.score(data.CLASSIFICATION, np.array([1, 0, 1]), two) == 0.0
    three = np.array([[5, 2, 1], [1, 4, 3], [1, 1, 6], [4, 2, 2]], np.float32) / 8
    of_classes = (1.0, 3.5 / 4, 1.0)  # the first row's 1/4 for class 1 equals that of the last, which is of it
    assert measure.score(data.CLASSIFICATION, np.array([0, 1, 2, 1]), three) == pytest.approx(np.mean(of_classes))


@pytest.mark.parametrize("task", [data.CLASSIFICATION, data.REGRESSION])
def test_contenders_that_are_always_there_take_text_and_blanks(task):
    found = loaded(task)
    setting = Setting(found, 1, 0)
    linear = encoded(setting, LogisticRegression() if task == data.CLASSIFICATION else Ridge())
    trees = CONTENDERS["HistGradientBoosting"].make(setting)
    trees[-1].set_params(max_iter=2)
    for estimator in (linear, trees):
        predicted = estimator.fit(found.X[:50], found.y[:50]).predict(found.X[50:])
        assert predicted.shape == (10,) and np.isfinite(predicted).all()


def test_a_variant_differs_in_one_parameter_and_is_reported(benchmark, tmp_path, capsys):
    setting = Setting(loaded(data.REGRESSION), 1, 0)
    usual = KNOWN["tinynet-Tabular"].make(setting).get_params()
    for name, variant in VARIANTS.items():
        changed = [key for key, value in variant.make(setting).get_params().items() if value != usual[key]]
        assert len(changed) == 1, name
    chosen = ("--tables", "diabetes", "--contenders", "tinynet-Tabular,no-dropout", "--splits", 1)
    assert benchmark(*chosen, "--picture", tmp_path / "p.svg", Worker=FakeWorker) == 0
    assert "no-dropout" in capsys.readouterr().out


def test_who_is_not_installed():
    assert CONTENDERS["tinynet-MLP"].is_installed()
    assert not Contender("x", "no_such_module", Mean).is_installed()
    assert not Contender("x", "no_such_module.inside", Mean).is_installed()


# ---- summary -------------------------------------------------------------------------------------------------------


def result(contender, table, split, score, cpu, rows=1_000, held_back=False):
    times = {"wall_seconds": cpu, "block_microseconds": 1.0, "row_microseconds": 100.0}
    return {
        "table": table, "contender": contender, "split": split, "threads": 1, "held_back": held_back, "score": score,
        "cpu_seconds": cpu, "rows": rows, "columns": 4, **times,
    }  # fmt: skip


RESULTS = [
    result("LightGBM", "a", 0, 0.80, 0.1), result("LightGBM", "a", 1, 0.90, 0.1),
    result("LightGBM", "b", 0, 0.50, 0.4, 30_000, True),
    result("RealMLP-TD-S", "a", 0, 0.82, 10.0), result("RealMLP-TD-S", "a", 1, 0.86, 10.0),
    result("RealMLP-TD-S", "b", 0, 0.60, 40.0, 30_000, True),
    result("RealMLP-TD", "a", 0, 0.90, 20.0),
    result("tinynet-Tabular", "a", 0, 0.80, 1.0), result("tinynet-Tabular", "a", 1, 0.90, 1.0),
    result("tinynet-Tabular", "b", 0, 0.45, 4.0, 30_000, True),
]  # fmt: skip


def test_summary_compares_on_what_both_have():
    rows = {row["contender"]: row for row in summary.summary(RESULTS)}
    ours, td = rows["tinynet-Tabular"], rows["RealMLP-TD"]
    assert ours["score"] == pytest.approx((0.85 + 0.45) / 2) and ours["tables"] == 2
    assert ours["rank"] == pytest.approx((1.5 + 3) / 2)  # equal to LightGBM on a, last on b
    assert ours["cpu_seconds"] == pytest.approx(2.0)
    assert ours["mean_gap_to_td"] == pytest.approx(0.80 - 0.90)  # the one split that RealMLP-TD has
    assert ours["share_of_td"] == pytest.approx(1 / 20)
    assert ours["worst_gap_to_td_s"] == ("b", pytest.approx(-0.15))
    assert ours["worst_gap_to_trees"] == ("b", pytest.approx(-0.05))
    assert td["tables"] == 1 and td["score"] is None and td["rank"] is None and td["share_of_td"] == 1.0
    assert td["worst_gap_to_td_s"] == ("a", pytest.approx(0.08))


def test_ranks_of_equals_are_shared():
    assert summary.ranks({"a": 0.9, "b": 0.8, "c": 0.9, "d": 0.1}) == {"a": 1.5, "c": 1.5, "b": 3, "d": 4}


def test_groups_are_those_that_differ():
    titles = [title for title, _ in summary.groups(RESULTS)]
    assert titles == ["all tables", "under 20,000 rows", "from 20,000 rows on"]
    more = [*RESULTS, result("LightGBM", "c", 0, 0.5, 1.0, held_back=True)]
    assert "held back, under 20,000 rows" in [title for title, _ in summary.groups(more)]


def test_without_peers_there_are_no_gaps():
    rows = summary.summary([result("tinynet-Tabular", "a", 0, 0.8, 1.0)])
    assert [rows[0][name] for name in ("mean_gap_to_td", "worst_gap_to_td_s", "worst_gap_to_trees")] == [None] * 3
    assert rows[0]["rank"] == 1


def test_report_in_markdown():
    text = report.markdown(RESULTS)
    assert "| a | 1,000 x 4 | 0.8000 | 0.8200 | **0.9000** | 0.8000 |" in text  # the one split that all have
    assert "| b * | 30,000 x 4 | 0.5000 | **0.6000** | - | 0.4500 |" in text
    assert "-0.1500 (b)" in text and "### Summary: from 20,000 rows on" in text


def test_picture(tmp_path):
    tables, found = points([r for r in RESULTS if r["contender"] != "RealMLP-TD"])
    assert tables == 2 and found["tinynet-Tabular"] == (pytest.approx(2.0), pytest.approx(0.5))
    pytest.importorskip("matplotlib")
    draw(RESULTS, {"cpu": "a machine"}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1_000


# ---- the command ---------------------------------------------------------------------------------------------------


def test_a_contender_fits_in_a_process_of_its_own(benchmark, tmp_path, capsys):
    path = tmp_path / "report.json"
    chosen = ("--tables", "diabetes", "--contenders", "HistGradientBoosting", "--splits", 1, "--json", path)
    assert benchmark(*chosen) == 0
    (found,) = json.loads(path.read_text())["results"]
    assert 0 < found["score"] < 1 and found["rows"] == 442 and not found["held_back"]
    assert f"{found['score']:.4f}" in capsys.readouterr().out
    assert benchmark(*chosen, "--summary", "--picture", tmp_path / "p.svg", Worker=None) == 0  # which fits nothing
    assert f"{found['score']:.4f}" in capsys.readouterr().out and (tmp_path / "p.svg").is_file()


class FakeWorker:
    """Answers at once, and fails where it is told to."""

    asked: ClassVar = []
    failing: ClassVar = set()

    def __init__(self, contender, threads):
        self.contender = contender

    def result(self, table, split):
        self.asked.append((table, self.contender, split))
        if table in self.failing:
            return {"error": "ValueError: no"}
        found = result(self.contender, table, split, 0.5, 1.0)
        return {name: found[name] for name in found if name not in ("table", "contender", "split", "threads")}

    def close(self):
        pass


def test_what_is_there_is_not_fitted_again(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeWorker, "asked", [])
    monkeypatch.setattr(FakeWorker, "failing", {"diabetes"})
    chosen = ("--contenders", "sklearn-MLP", "--json", tmp_path / "report.json", "--tables", "breast_cancer,diabetes")
    assert benchmark(*chosen, "--splits", 1, Worker=FakeWorker) == 1  # since one fit failed
    assert len(FakeWorker.asked) == 2
    FakeWorker.asked.clear()
    monkeypatch.setattr(FakeWorker, "failing", set())
    assert benchmark(*chosen, "--splits", 2, "--resume", Worker=FakeWorker) == 0
    assert sorted(FakeWorker.asked) == [
        ("breast_cancer", "sklearn-MLP", 1), ("diabetes", "sklearn-MLP", 0), ("diabetes", "sklearn-MLP", 1),
    ]  # fmt: skip
    results = json.loads((tmp_path / "report.json").read_text())["results"]
    assert len({summary.key(found) for found in results}) == len(results) == 4


def test_results_are_not_lost_for_want_of_an_option(benchmark, tmp_path, capsys):
    chosen = ("--tables", "diabetes", "--contenders", "sklearn-MLP", "--json", tmp_path / "report.json")
    assert benchmark(*chosen, Worker=FakeWorker) == 0
    written = (tmp_path / "report.json").read_bytes()
    assert benchmark(*chosen, Worker=FakeWorker) == 2
    assert "which holds results: keep them with --resume" in capsys.readouterr().err
    assert (tmp_path / "report.json").read_bytes() == written


def test_standard_output_is_json_alone(benchmark, capfd):
    assert benchmark("--tables", "diabetes", "--contenders", "sklearn-MLP", "--json", "-", Worker=FakeWorker) == 0
    said = capfd.readouterr()
    assert len(json.loads(said.out)["results"]) == 3 and "| diabetes |" in said.err


def test_tables_are_listed(benchmark, capsys):
    assert benchmark("--list", "--tables", "diabetes,breast_cancer", Worker=None) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in shown] == [
        ["breast_cancer", "sklearn/breast_cancer", "569", "x"], ["diabetes", "sklearn/diabetes", "442", "x"],
    ]  # fmt: skip


def test_who_is_missing_is_said(benchmark, capsys, monkeypatch):
    monkeypatch.setitem(KNOWN, "LightGBM", Contender("LightGBM", "no_such_module", Mean))
    assert benchmark("--tables", "diabetes", "--contenders", "LightGBM", Worker=FakeWorker) == 0
    assert "LightGBM is left out: no_such_module is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tables", "diabetis"), "did you mean 'diabetes'"),
        (("--contenders", "LightGMB"), "did you mean 'LightGBM'"),
        (("--splits", 0), "--splits got 0"),
        (("--threads", -1), "--threads got -1"),
        (("--resume",), "--resume got no --json"),
        (("--summary",), "--summary got no --json"),
        (("--summary", "--json", "no_such_report.json"), "expected a file with results"),
        (("--summary", "--json", ROOT / "pyproject.toml"), "expected a file that this benchmark has written"),
        (("--json", "/no/such/folder/x.json"), "whose folder does not exist"),
    ],
)
def test_bad_options_are_refused(benchmark, capsys, options, said):
    assert benchmark(*options) == 2
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1
