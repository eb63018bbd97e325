"""TableEncoder: what comes out for what, against the definition; other orders, levels and blanks at predict; state."""

import datetime
import json
import pickle
import warnings
from importlib import import_module

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import said
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from tinynet.tables import TableEncoder
from tinynet.tables.levels import Levels
from tinynet.tables.scaling import robust_scale, robust_scale_of_counts, smooth_clip

RNG = np.random.default_rng(0)
N = 200


def table(rows=N, seed=0):
    rng = np.random.default_rng(seed)
    blank = rng.random(rows) < 0.2
    return {
        "age": np.where(blank, np.nan, rng.normal(40, 10, rows)),
        "income": rng.lognormal(10, 2, rows),
        "city": rng.choice(["Rome", "Oslo", "Bern", "Kyiv"], rows, p=[0.6, 0.3, 0.05, 0.05]).tolist(),
        "sex": [None if i % 7 == 0 else "mf"[i % 2] for i in range(rows)],
        "member": (rng.random(rows) < 0.3).tolist(),
        "joined": [datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=int(h)) for h in rng.integers(0, 30_000, rows)],
        "shop": [f"s{i}" for i in rng.integers(0, 50, rows)],
    }  # fmt: skip


def scaled(column):
    """The definition, for one column without blanks (arXiv 2407.04491)."""
    low, centre, high = np.quantile(column, [0.25, 0.5, 0.75])
    span = high - low or 0.5 * (column.max() - column.min())
    z = (column - centre) / span if span else np.zeros_like(column)
    return z / np.sqrt(1 + (z / 3) ** 2)


def test_output_is_the_definition():
    made = table()
    encoder = TableEncoder(max_one_hot=10).fit(made)
    out = encoder.transform(made)
    age, joined = made["age"], made["joined"]
    filled = np.where(np.isnan(age), np.nanmedian(age), age)
    utc = [moment.replace(tzinfo=datetime.UTC) for moment in joined]
    hot = lambda level: np.array([float(city == level) for city in made["city"]])  # noqa: E731
    expected = {
        "age": filled, "income": made["income"], "joined": np.array([moment.timestamp() for moment in utc]),
        "joined_year": np.array([moment.year for moment in joined], float),
        "joined_month": np.array([moment.month for moment in joined], float),
        "joined_weekday": np.array([moment.isoweekday() for moment in joined], float),
        "joined_hour": np.array([moment.hour for moment in joined], float),
        "age_missing": np.isnan(age).astype(float),
        "city_Bern": hot("Bern"), "city_Kyiv": hot("Kyiv"), "city_Oslo": hot("Oslo"), "city_Rome": hot("Rome"),
        "sex_f": np.array([{"f": 1.0, "m": -1.0, None: 0.0}[sex] for sex in made["sex"]]),
        "member_false": np.where(made["member"], -1.0, 1.0),
    }  # fmt: skip
    names = encoder.get_feature_names_out().tolist()
    assert names == [*expected, "shop"]
    for position, column in enumerate(expected.values()):
        np.testing.assert_allclose(out[:, position], scaled(column), atol=2e-6, err_msg=names[position])
    shops = sorted(set(made["shop"]))
    assert out[:, -1].tolist() == [shops.index(shop) + 1 for shop in made["shop"]]
    assert encoder.codes_ == [(14, len(shops) + 1)] and encoder.n_dense_ == 14
    assert out.dtype == np.float32 and out.flags.c_contiguous and out.flags.writeable
    assert TableEncoder(dtype="float64").fit_transform(made).dtype == np.float64


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=40))
def test_scale_from_counts_is_the_scale_of_the_column(column):
    values = np.array([-1.0, 0.0, 1.0])
    counts = np.array([[column.count(value) for value in values]])
    np.testing.assert_array_equal(robust_scale_of_counts(values, counts), robust_scale(np.array(column)[:, None]))


numbers = st.floats(width=64)


@given(st.lists(numbers, min_size=1, max_size=20))
@settings(max_examples=300)
def test_any_numbers_scale_to_within_3(column):
    block = np.array(column)[:, None]
    out = smooth_clip(block, *robust_scale(block))
    assert np.isfinite(out).all() and (np.abs(out) <= 3).all()
    assert (out[np.isnan(block)] == 0).all()
    order = np.argsort(block[~np.isnan(block)])
    assert (np.diff(out[~np.isnan(block)][order]) >= 0).all()


def test_infinities_and_blanks():
    out = TableEncoder().fit_transform({"x": [1.0, 2.0, 3.0, np.inf, -np.inf, np.nan]})
    np.testing.assert_array_equal(out[3:, 0], np.float32([3, -3, 0]))
    assert out[1, 0] == 0 and out.shape == (6, 2)


# ---- at predict -----------------------------------------------------------------------------------------------------


@given(st.permutations(list(table())), st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_the_order_of_columns_does_not_matter(order, seed):
    encoder, new = TableEncoder().fit(table()), table(20, seed)
    permuted = {name: new[name] for name in order} | {"extra": [object()] * 20, "text": ["x"] * 20}
    np.testing.assert_array_equal(encoder.transform(permuted), encoder.transform(new))


def test_all_sources_agree(tmp_path):
    pd = pytest.importorskip("pandas")
    from tinynet.tables import read_table

    made = table()
    pl.DataFrame(made, strict=False).with_columns(pl.col("age").fill_nan(None)).write_csv(tmp_path / "t.csv")
    frames = [made, pl.DataFrame(made, strict=False), pd.DataFrame(made), read_table(tmp_path / "t.csv")]
    outputs = [TableEncoder().fit_transform(frame) for frame in frames]
    crossed = [TableEncoder().fit(frames[i]).transform(frames[i - 1]) for i in range(4)]
    for out in [*outputs, *crossed]:
        np.testing.assert_array_equal(out, outputs[0])
    mixed = np.array([[1.5, "a"], [2.5, None], [0.5, "b"], [0.0, "a"]], dtype=object)
    np.testing.assert_array_equal(
        TableEncoder().fit_transform(mixed), TableEncoder().fit_transform({"x": mixed[:, 0], "y": mixed[:, 1]})
    )


def test_unknown_levels_and_blanks_are_zero_codes():
    fitted = {
        "city": ["a", "b", "c", "a"],
        "sex": ["m", "f", "m", "f"],
        "shop": ["s", "t", "u", "v"],
        "n": [1.0, 2.0, 3.0, 4.0],
    }
    encoder = TableEncoder(max_one_hot=3).fit(fitted)
    blank = encoder.transform({"city": [None], "sex": [None], "shop": [None], "n": [None]})
    unknown = encoder.transform({"city": ["zz"], "sex": ["zz"], "shop": ["zz"], "n": ["NA"]})
    np.testing.assert_array_equal(blank, unknown)
    assert blank[0, -1] == 0 and blank[0, 0] == 0
    off = encoder.transform(fitted)
    assert blank[0, 1] == off[1, 1] and blank[0, 2] == off[0, 2] and blank[0, 3] == off[0, 3]
    many = encoder.transform({name: [None] * 100 for name in fitted})
    np.testing.assert_array_equal(many, np.repeat(blank, 100, axis=0))


def test_rare_levels_are_one():
    made = {"city": ["a"] * 5 + ["b"] * 4 + ["c", "d"], "n": np.arange(11.0)}
    encoder = TableEncoder(min_frequency=2).fit(made)
    assert encoder.get_feature_names_out().tolist() == ["n", "city_a", "city_b", "city_infrequent"]
    out = encoder.transform({"city": ["c", "d", "a", "zz"], "n": [0.0] * 4})
    assert (out[0] == out[1]).all() and (out[0] != out[2]).any() and (out[0] != out[3]).any()
    codes = TableEncoder(min_frequency=0.2, max_one_hot=0).fit(made)
    assert codes.codes_ == [(1, 4)]
    assert codes.transform({"city": ["a", "b", "c", "d", "e"], "n": [0.0] * 5})[:, 1].tolist() == [1, 2, 3, 3, 0]


def test_text_where_numbers_were():
    encoder = TableEncoder().fit({"x": [1.0, 2.0, 3.0], "day": [datetime.date(2024, 1, i) for i in (1, 2, 3)]})
    out = encoder.transform({"x": ["1", "NA"], "day": ["2024-01-01", None]})
    np.testing.assert_array_equal(out[0], encoder.transform({"x": [1.0], "day": [datetime.date(2024, 1, 1)]})[0])
    message = said(lambda: encoder.transform({"x": ["1", "many"], "day": [None, None]}))
    assert "column 'x' has 'many' in row 1, which is not a number" in message
    message = said(lambda: encoder.transform({"x": [1.0, 2.0], "day": ["2024-01-01", "soon"]}))
    assert "column 'day' has 'soon' in row 1, expected a date" in message
    assert "'day' has type Int64" in said(lambda: encoder.transform({"x": [1.0], "day": [3]}))


@pytest.mark.parametrize("rows", [1, 100])
def test_what_is_no_level_where_levels_were(rows):
    encoder = TableEncoder().fit({"c": ["a", "b", "a"], "n": [1.0, 2.0, 3.0]})
    for cells, words in (
        ([[1]], "column 'c' holds Python objects"),
        (pl.Series([{"a": 1}]), "column 'c' holds values of type Struct"),
        (pl.Series([2**62]).cast(pl.Datetime("us")), "column 'c' has a date beyond the years 1 to 9999 in row 0"),
    ):
        several = cells * rows if isinstance(cells, list) else pl.concat([cells] * rows)
        assert words in said(lambda several=several: encoder.transform({"c": several, "n": [1.0] * rows}))


def test_the_format_of_dates_is_kept():
    encoder = TableEncoder().fit({"d": ["25/12/2023", "26/12/2023", "01/02/2024"]})
    one = encoder.transform({"d": ["03/04/2024"]})
    np.testing.assert_array_equal(one, encoder.transform({"d": [datetime.datetime(2024, 4, 3)]}))
    np.testing.assert_array_equal(one, encoder.transform({"d": ["2024-04-03"]}))


def test_a_table_is_read_once(monkeypatch):
    made = {
        "d": ["25/12/2023", "26/12/2023", "01/02/2024"] * 40,
        "e": ["2023-12-25", "2023-12-26", None] * 40,
        "n": ["1", "2", "3"] * 40,
        "c": ["a", "b", "c"] * 40,
    }
    expected = TableEncoder().fit(made).transform(made)
    calls = dict.fromkeys(("encoder.as_frame", "columns.date_format", "dates.read", "columns.read", "cells.parsed", "levels.Levels.codes"), 0)  # fmt: skip
    for name in calls:
        home, _, attribute = f"tinynet.tables.{name}".rpartition(".")
        home = Levels if attribute == "codes" else import_module(home)
        original = getattr(home, attribute)

        def counted(*given, name=name, original=original):
            calls[name] += len(given[0]) == 120 if name == "dates.read" else 1  # not of its samples
            return original(*given)

        monkeypatch.setattr(home, attribute, counted)
    np.testing.assert_array_equal(TableEncoder().fit_transform(made), expected)
    assert calls == {
        "encoder.as_frame": 1, "columns.date_format": 3, "dates.read": 2, "columns.read": 2, "cells.parsed": 1,
        "levels.Levels.codes": 1,
    }  # fmt: skip


def test_numbers_taken_for_categories():
    encoder = TableEncoder(categorical=["x"]).fit({"x": [1, 2, 30, 1]})
    expected = encoder.transform({"x": [30, 2]})
    for same in ([30.0, 2.0], ["30", "2"], ["30.0", " 2"], np.array([30, 2], object)):
        np.testing.assert_array_equal(encoder.transform({"x": same}), expected)


def test_names_and_positions():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": ["x", "y", "x"]})
    encoder = TableEncoder().fit(frame)
    assert encoder.feature_names_in_.tolist() == ["a", "b"] and encoder.n_features_in_ == 2
    assert "lacks the column 'b', which was there in fit; add it" in said(lambda: encoder.transform(frame[["a"]]))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        np.testing.assert_array_equal(encoder.transform(frame.to_numpy()), encoder.transform(frame))
    nameless = TableEncoder().fit(frame.to_numpy())
    assert not hasattr(nameless, "feature_names_in_")
    assert nameless.get_feature_names_out().tolist() == ["column_0", "column_1_x"]
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        np.testing.assert_array_equal(nameless.transform(frame), encoder.transform(frame))
    assert "X has 1 features, but TableEncoder is expecting 2" in said(
        lambda: nameless.transform(frame.to_numpy()[:, :1])
    )
    ignored = TableEncoder(ignore=["b"]).fit(frame)
    assert ignored.transform(frame[["a"]]).shape == (3, 1)
    assert encoder.fit(frame.to_numpy()) is encoder and not hasattr(encoder, "feature_names_in_")


REFUSED = [
    ({"x": [1.0]}, {}, ["1 sample", "at least 2 rows"]),
    ({"x": [1.0, 1.0]}, {}, ["no column is left", "'x'", "1.0 in every row", "numeric"]),
    ({"x": [[1], [2]]}, {}, ["'x'", "ignore=['x']"]),
    ({"x": [1.0, 2.0]}, {"max_one_hot": -1}, ["max_one_hot", "-1"]),
    ({"x": [1.0, 2.0]}, {"min_frequency": 0}, ["min_frequency", "0"]),
    ({"x": [1.0, 2.0]}, {"min_frequency": 1.5}, ["min_frequency", "1.5"]),
    ({"x": [1.0, 2.0]}, {"dtype": "float16"}, ["dtype", "float16"]),
    ({"x": [1.0, 2.0]}, {"categorical": ["y"]}, ["categorical", "'y'", "'x'"]),
]


@pytest.mark.parametrize("made, options, words", REFUSED)
def test_fit_refuses(made, options, words):
    message = said(lambda: TableEncoder(**options).fit(made))
    assert [word for word in words if word not in message] == []


def test_names_of_the_output_differ():
    encoder = TableEncoder().fit({"a": ["x", "y", "z"], "a_x": [1, 2, 3]})
    assert encoder.get_feature_names_out().tolist() == ["a_x", "a_x_", "a_y", "a_z"]


def test_many_columns_take_no_square_of_time():
    wide = {f"c{i}": ["a", "b", "c"] for i in range(2_000)}
    assert TableEncoder().fit_transform(wide).shape == (3, 6_000)


cells = st.one_of(
    st.none(), st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.sampled_from(["a", "b", "NA", "1", "1,000", "2024-01-01", " "]),
    st.text(max_size=3), st.dates(), st.datetimes(), st.timedeltas(), st.decimals(allow_nan=False),
)  # fmt: skip
columns = st.one_of(*(st.lists(kind, min_size=6, max_size=6) for kind in (cells, *cells.original_strategies)))


@given(st.lists(columns, min_size=1, max_size=4), st.lists(columns, min_size=4, max_size=4))
@settings(deadline=None, max_examples=400)
def test_any_table_is_encoded_or_refused_in_a_sentence(made, new):
    encoder = TableEncoder(max_one_hot=3)
    try:
        out = encoder.fit_transform({str(i): column for i, column in enumerate(made)})
        assert np.isfinite(out).all() and (np.abs(out[:, : encoder.n_dense_]) <= 3).all()
        again = restored(encoder).transform({str(i): column for i, column in enumerate(new)})
        assert np.isfinite(again).all() and again.shape == out.shape
    except ValueError as error:
        assert "\n" not in str(error) and ("column" in str(error) or "dates must" in str(error))  # noqa: PT017


# ---- state ----------------------------------------------------------------------------------------------------------


def restored(encoder):
    arrays, plain = encoder.state()
    return TableEncoder.from_state(
        {name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(plain))
    )


@given(st.integers(0, 100), st.integers(0, 60), st.integers(1, 20), st.sampled_from(["float32", "float64"]))
@settings(deadline=None, max_examples=30)
def test_state_gives_the_same_bits(seed, max_one_hot, min_frequency, dtype):
    encoder = TableEncoder(max_one_hot=max_one_hot, min_frequency=min_frequency, dtype=dtype, ignore=["income"])
    encoder.fit(table(60, seed))
    new = table(40, seed + 1)
    for same in (restored(encoder), pickle.loads(pickle.dumps(encoder)), clone(encoder).fit(table(60, seed))):
        np.testing.assert_array_equal(same.transform(new), encoder.transform(new))
        assert same.columns_ == encoder.columns_ and same.codes_ == encoder.codes_
        assert same.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()
    assert restored(encoder).get_params()["ignore"] == ("income",)


def test_state_of_any_text():
    odd = ["\ud800", "\0", "é\n", '"', "infrequent"]
    encoder = TableEncoder().fit({"é\n": ["a", "\0", 'q"', "a"], "n": [1.0, 2.0, 3.0, np.nan]})
    np.testing.assert_array_equal(
        restored(encoder).transform({"é\n": ["\0"], "n": [1.0]}), encoder.transform({"é\n": ["\0"], "n": [1.0]})
    )
    assert len(odd) == 5


def damaged():
    """Changes to a state, each of which must be seen."""

    def in_table(change):
        def apply(arrays, plain):
            found = json.loads(arrays["table"].tobytes())
            change(found)
            arrays["table"] = np.frombuffer(json.dumps(found).encode(), np.uint8)

        return apply

    def setting(name, value):
        return lambda arrays, plain: arrays.update({name: value(arrays[name])})

    yield lambda arrays, plain: plain.update(version=2)
    yield lambda arrays, plain: plain.clear()
    for name in ("table", "centre", "factor", "blanks", "indicators", "levels"):
        yield lambda arrays, plain, name=name: arrays.pop(name)
        yield setting(name, lambda array: array[:-1])
        yield setting(name, lambda array: array.astype(np.float32))
        yield setting(name, lambda array: array.tolist())
    yield setting("centre", lambda array: array * np.nan)
    yield setting("factor", lambda array: -1 - array)
    yield setting("levels", lambda array: array + 100)
    yield setting("blanks", lambda array: array + 10_000)
    yield setting("table", lambda array: np.frombuffer(b"[" * 100_000, np.uint8))
    yield setting("table", lambda array: np.frombuffer(b"\xff", np.uint8))
    yield setting("table", lambda array: np.frombuffer(b"[]", np.uint8))
    for name in ("parameters", "named", "columns", "numbers", "levels", "coded"):
        yield in_table(lambda found, name=name: found.pop(name))
        yield in_table(lambda found, name=name: found.update({name: 3}))
    for row in (0, 1, 2, 3, 4):
        yield in_table(lambda found, row=row: found["columns"][0].__setitem__(row, {}))
    for row in (0, 1, 2, 3):
        yield in_table(lambda found, row=row: found["numbers"][0].__setitem__(row, []))
    for row in (0, 1, 2):
        yield in_table(lambda found, row=row: found["levels"][0].__setitem__(row, -1))
    yield in_table(lambda found: found["columns"].append(found["columns"][0]))
    yield in_table(lambda found: found["levels"][0][1].append(found["levels"][0][1][0]))
    yield in_table(lambda found: found["coded"].pop())
    yield in_table(lambda found: found["parameters"].update(max_one_hot="many"))
    yield in_table(lambda found: found["parameters"].update(min_frequency=-1))
    yield in_table(lambda found: found["parameters"].update(dtype="object"))
    yield in_table(lambda found: found["parameters"].update(evil=1))
    yield in_table(lambda found: found["parameters"].update(ignore=[{}]))


def test_damaged_states_are_refused():
    encoder, count = TableEncoder(max_one_hot=10).fit(table()), 0
    for change in damaged():
        arrays, plain = encoder.state()
        change(arrays, plain)
        message = said(lambda arrays=arrays, plain=plain: TableEncoder.from_state(arrays, plain))
        assert "encoder" in message or "min_frequency" in message, message
        count += 1
    assert count > 60


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_states_with_any_bytes_changed(data):
    encoder = TableEncoder(max_one_hot=10).fit(table(60))
    arrays, plain = encoder.state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    name = data.draw(st.sampled_from(sorted(arrays)))
    raw = arrays[name].view(np.uint8).reshape(-1)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        out = TableEncoder.from_state(arrays, plain).transform(table(10))
        assert out.shape[0] == 10
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - some are read


# ---- scikit-learn ---------------------------------------------------------------------------------------------------

NOT_APPLICABLE = {
    "check_dataframe_column_names_consistency": "the order of named columns does not matter here, and more are left out",
}


@parametrize_with_checks([TableEncoder()], expected_failed_checks=lambda _: NOT_APPLICABLE)
def test_scikit_learn_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def test_output_as_a_frame():
    pd = pytest.importorskip("pandas")
    made = pd.DataFrame(table(), index=range(5, N + 5))
    found = TableEncoder().set_output(transform="pandas").fit_transform(made)
    assert found.index.tolist() == made.index.tolist() and found.columns[0] == "age"


def test_levels_of_categories_that_are_blanks():
    pd = pytest.importorskip("pandas")
    plain = {"c": ["a", None, "b", "7", None], "n": [1.0, 2.0, 3.0, 4.0, 5.0]}
    expected = TableEncoder().fit_transform(plain)
    for same in (
        pl.Series(["a", "NA", " b", "7.0", None], dtype=pl.Categorical),
        pd.Categorical(["a", "?", "b", "7.0", None]),
    ):
        np.testing.assert_array_equal(TableEncoder().fit_transform(plain | {"c": same}), expected)
    for nothing in (pd.Categorical([None] * 5), pl.Series(["NA"] * 5, dtype=pl.Enum(["NA"])), pl.Series([None] * 5)):
        assert TableEncoder().fit(plain | {"c": nothing}).columns_[0].reason == "every cell is blank"
