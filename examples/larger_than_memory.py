"""Rows that need not fit into memory: files in blocks, blocks made on the way, a run that stops and goes on.

python examples/larger_than_memory.py
"""

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import tinynet as tn
from tinynet import nn, optim


def rides(part: int, rows: int = 20_000) -> pl.DataFrame:
    """One day's taxi rides: whether a tip was given depends on the distance, the hour and how it was paid."""
    rng = np.random.default_rng(part)
    distance, hour, card = rng.gamma(2.0, 3.0, rows), rng.integers(0, 24, rows), rng.random(rows) < 0.6
    tip = card & (distance + 4 * (hour > 18) + rng.normal(0, 1, rows) > 5)
    paid = np.where(card, "card", np.where(rng.random(rows) < 0.1, "voucher", "cash"))
    return pl.DataFrame({"distance": distance, "hour": hour, "paid": paid, "tip": tip})


class Generated:
    """Rows that are made when they are read. Anything with a length and read(block) will do."""

    def __len__(self) -> int:
        return 100

    def rows(self, block: int) -> int:
        return 50_000

    def read(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        X = np.random.default_rng(block).standard_normal((50_000, 64), np.float32)
        return X, (X[:, 0] * X[:, 1] > 0).astype(np.int64)


def trainer() -> tn.Trainer:
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(2, (32, 32), 2)
    return tn.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=3e-3), progress=False)


with tempfile.TemporaryDirectory() as folder:
    for part in range(8):
        rides(part).write_parquet(Path(folder) / f"day-{part}.parquet", row_group_size=5_000)

    # Numbers alone: a Trainer. Four row groups are shuffled together, and two windows of them are in memory.
    source = tn.scan(f"{folder}/*.parquet", target="tip", columns=["distance", "hour"], window=4)
    print(source)
    learned, held = source.split(0.2)
    whole = trainer()
    history = whole.fit(learned, epochs=3, batch_size=256, validation_data=held)
    print("validation losses:", *(f"{loss:.3f}" for loss in history.validation_loss))

    # A run that is stopped within an epoch, by Ctrl-C or a time limit, goes on with the same bits.
    checkpoint, runs, resumed = Path(folder) / "run.safetensors", 0, trainer()
    while resumed.epoch < 3:
        resumed, runs = trainer(), runs + 1
        if checkpoint.exists():
            tn.load_checkpoint(checkpoint, resumed)
        resumed.fit(learned, epochs=3 - resumed.epoch, batch_size=256, validation_data=held, time_limit=0.03)
        tn.save_checkpoint(checkpoint, resumed)
    same = all(
        np.array_equal(one.data, other.data)
        for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    )
    print(f"in {runs} runs, each resumed from the one before: {'the same weights' if same else 'other weights'}")

    # Text and blanks as they come: the estimators of tables, encoded block by block.
    table = tn.TabularClassifier(max_epochs=3, random_state=0).fit(
        tn.scan(f"{folder}/*.parquet", target="tip", window=4)
    )
    new = rides(99)
    print(f"new rides, {table.score(new.drop('tip'), new['tip'].to_numpy()):.0%} right")

# 1.3 GB of rows, of which 26 MB are in memory twice.
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = nn.multilayer_perceptron(64, (32,), 2)
large = tn.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters()), progress=False)
history = large.fit(tn.scan(Generated(), window=2), batch_size=1024)
unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit / 1e6
taken = history.samples[0] * 64 * 4 / 1e9
print(f"{taken:.1f} GB of rows, loss {history.train_loss[0]:.2f}; memory grew by {grown:.0f} MB")
