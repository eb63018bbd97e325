"""A table as it comes, with text and blanks, and the best small net for it.

python examples/tables.py              # trains and predicts
python examples/tables.py wines.csv    # and writes the table there, for tinynet --dataset wines.csv --target maker
"""

import sys

import numpy as np
import polars as pl
from sklearn.datasets import load_wine

import tinynet as tn
from tinynet.tables import columns_text, describe_columns


def wines() -> pl.DataFrame:
    """Wines of three makers: one column as text, every tenth cell of another blank, and the maker as text."""
    data = load_wine()
    frame = pl.DataFrame(data.data, schema=[name.replace("/", "_") for name in data.feature_names])
    rng = np.random.default_rng(0)
    hue = pl.Series(np.where(frame["hue"] > 0.95, "bright", "dark"))
    magnesium = [None if rng.random() < 0.1 else value for value in frame["magnesium"]]
    maker = np.array(["Alba", "Barolo", "Canelli"])[data.target]
    return frame.with_columns(hue=hue, magnesium=pl.Series(magnesium), maker=pl.Series(maker)).sample(
        fraction=1.0, shuffle=True, seed=0
    )


def main(path: str | None = None) -> None:
    """Trains on 140 wines, and predicts the makers of the others."""
    table = wines()
    if path:
        table.write_csv(path)
    X, maker = table.drop("maker"), table["maker"].to_numpy()
    print(columns_text(describe_columns(X)))
    model = tn.TabularClassifier(random_state=0).fit(X[:140], maker[:140])
    print(f"\nof {len(X) - 140} new wines, {model.score(X[140:], maker[140:]):.0%} get their maker")
    reordered = X[140:143].select(sorted(X.columns))  # columns are found by their names
    for wine, p in zip(model.predict(reordered), model.predict_proba(reordered), strict=True):
        print(f"{wine:8}", ", ".join(f"{name} {share:.2f}" for name, share in zip(model.classes_, p, strict=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
