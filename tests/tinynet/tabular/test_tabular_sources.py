"""The estimators of tables on sources: one pass, blocks encoded as they are read, predictions block by block."""

import numpy as np
import polars as pl
import pytest

import tinynet as tn
from tinynet.data.sources.parts.choosing import chosen_rows
from tinynet.tables import summary
from tinynet.tabular import streaming

RNG = np.random.default_rng(0)
ROWS = 3000
FRAME = pl.DataFrame({
    "n": RNG.normal(size=ROWS), "holes": [None if i % 7 == 0 else float(i % 50) for i in range(ROWS)],
    "city": RNG.choice(["London", "Paris", "Rome"], ROWS), "day": pl.date_range(pl.date(2016, 1, 1), pl.date(2024, 3, 18), eager=True)[:ROWS],
})  # fmt: skip
SCORE = FRAME["n"] + (FRAME["city"] == "Rome").cast(float) * 2 + RNG.normal(size=ROWS) * 0.1
CLASSES = np.where(SCORE > 1.5, "high", np.where(SCORE > 0, "mid", "low")).tolist()
OPTIONS = {"max_epochs": 6, "hidden_layer_sizes": (32,), "random_state": 0, "verbose": False}


def source(folder, target, rows=400, frame=FRAME, **options):
    frame.with_columns(y=pl.Series(target)).write_parquet(folder / "t.parquet", row_group_size=rows)
    return tn.scan(folder / "t.parquet", target="y", **options)


def test_a_classifier_learns_from_a_source(tmp_path):
    found = tn.TabularClassifier(**OPTIONS).fit(source(tmp_path, CLASSES, window=2))
    assert found.classes_.tolist() == ["high", "low", "mid"] and found.feature_names_in_.tolist() == FRAME.columns
    assert found.score(FRAME, CLASSES) > 0.9
    predicted = found.predict_proba(source(tmp_path, CLASSES))
    np.testing.assert_array_equal(predicted, found.predict_proba(FRAME))
    FRAME.write_parquet(tmp_path / "new.parquet", row_group_size=1000)
    assert found.predict(tn.scan(tmp_path / "new.parquet")).tolist() == found.predict(FRAME).tolist()


@pytest.mark.parametrize("options", [{}, {"loss": "quantile"}, {"n_members": 2}])
def test_a_regressor_learns_from_a_source(options, tmp_path):
    found = tn.TabularRegressor(**OPTIONS, **options).fit(source(tmp_path, SCORE, window=3))
    predicted = found.predict(FRAME)
    middle = predicted[:, 1] if options.get("loss") else predicted
    assert np.corrcoef(middle, SCORE)[0, 1] > 0.95
    np.testing.assert_array_equal(found.predict(source(tmp_path, SCORE)), predicted)


@pytest.mark.parametrize(
    "options",
    [{"class_weight": "balanced"}, {"calibrate": True}, {"metric": "accuracy"}, {"time_limit": 1000.0, "n_members": 1}],
)
def test_options_hold_for_sources(options, tmp_path):
    found = tn.TabularClassifier(**{**OPTIONS, **options}).fit(source(tmp_path, CLASSES, window=2))
    assert found.score(FRAME, CLASSES) > 0.8


def test_the_same_source_gives_the_same_model_and_a_saved_one_predicts_alike(tmp_path):
    one, two = (tn.TabularClassifier(**OPTIONS).fit(source(tmp_path, CLASSES, window=2)) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(FRAME), two.predict_proba(FRAME))
    tn.save_checkpoint(tmp_path / "t.safetensors", one)
    loaded = tn.load_estimator(tmp_path / "t.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(source(tmp_path, CLASSES)), one.predict_proba(FRAME))


def test_a_file_that_changes_while_an_estimator_learns_is_refused(tmp_path, monkeypatch):
    rows = source(tmp_path, CLASSES)
    found = streaming.passed(rows, 0.2, 5, (), True)
    encoded = tn.scan(streaming.Encoded(rows, found, lambda frame: frame[["n"]].to_numpy(), lambda y: y == "high"))
    source(tmp_path, CLASSES, rows=300)
    with pytest.raises(ValueError, match=r"t.parquet, row group 0: the file has changed since it was scanned"):
        encoded.check_unchanged()


def test_rows_held_out_are_not_learned_from(tmp_path):
    """Each row is learned from in each epoch, or held out: together they are all of them."""
    rows = source(tmp_path, CLASSES)
    found = streaming.passed(rows, 0.2, 5, (), True)
    encoded = streaming.Encoded(rows, found, lambda frame: frame[["n"]].to_numpy(), lambda y: y)
    learned = np.concatenate([encoded.read(block)[0][:, 0] for block in range(len(encoded))])
    assert [encoded.rows(block) for block in range(7)] == [320] * 7 and found.summary.rows == len(learned)
    assert sorted([*learned, *found.held["n"]]) == sorted(FRAME["n"])
    assert set(found.target) == {"high", "mid", "low"}


def test_classes_and_the_range_are_those_of_all_rows(tmp_path, monkeypatch):
    """Also of rows that no sample has."""
    monkeypatch.setattr(summary, "SAMPLE", 100)
    rare = ["only here", *CLASSES[1:]]
    found = tn.TabularClassifier(**OPTIONS).fit(source(tmp_path, rare))
    assert found.classes_.tolist() == ["high", "low", "mid", "only here"]
    numbers = SCORE.to_numpy().copy()
    numbers[7] = 50.0
    regressor = tn.TabularRegressor(**OPTIONS).fit(source(tmp_path, numbers))
    assert regressor._high == 50.0


def test_a_share_of_rows():
    """As many as the share says, over all blocks, however small they are."""
    chosen = [chosen_rows(3, 0.2, 0, block) for block in range(1000)]
    assert 500 < sum(mask.sum() for mask in chosen) < 700
    assert sum(chosen_rows(100, 0.2, 1, block).sum() for block in range(10)) == 200


def test_a_source_is_split_in_two(tmp_path):
    train, test = source(tmp_path, CLASSES, frame=FRAME.select("n")).split(0.25, seed=3)
    assert (train.rows, test.rows, len(train), len(test)) == (2250, 750, 8, 8)
    both = pl.concat([each.frame(block) for each in (train, test) for block in range(8)])
    assert sorted(both["n"]) == sorted(FRAME["n"])
    numbers = tn.scan(FRAME.select("n").to_numpy(), np.arange(ROWS), block_rows=500)
    learned, held = numbers.split(0.1)
    rows = [each.read(block)[1] for each in (learned, held) for block in range(6)]
    assert sorted(np.concatenate(rows)) == list(range(ROWS)) and held.rows == 300


REFUSED = [
    (lambda f: tn.TabularClassifier().fit(source(f, CLASSES), CLASSES), TypeError, "y is given beside a source"),
    (lambda f: tn.TabularClassifier().fit(source(f, CLASSES), sample_weight=[1.0]), TypeError, "sample_weight is given beside a source"),
    (lambda f: tn.TabularClassifier().fit(tn.scan(source(f, CLASSES).parts[0].path)), ValueError, "0 targets, expected one"),
    (lambda f: tn.TabularClassifier().fit(source(f, [None, *CLASSES[1:]])), ValueError, "t.parquet, row group 0: the target 'y' is blank in row 0"),
    (lambda f: tn.TabularClassifier().fit(source(f, ["a"] * ROWS)), ValueError, "y has one class, 'a'"),
    (lambda f: tn.TabularRegressor().fit(source(f, CLASSES)), ValueError, "expected a number"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_refused(case, tmp_path):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call(tmp_path)
