"""Is any kernel of a step above the measured roofline? Then the roof is wrong, or what a kernel does is.

`python benchmarks/roofline.py` profiles steps of the training benchmark's sizes, alone and on all threads; the exit
status is 1 if a kernel is above its roof by more than 5 %. On a busy machine a ceiling may be measured too low.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

# The project's folder first: in this folder, ``kernels`` is the kernels' benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from of_training.problem import LEARNING_RATE, SIZES, Problem, Size

import kernels
from kernels import hardware
from kernels.program import Profile
from kernels.text import aligned
from tinynet import Trainer, nn
from tinynet.optim import Adam

TOLERANCE = 1.05
DEFAULT = "tiny,small32,small256,medium"
EPOCHS = 2


def profiled(size: Size, threads: int) -> Profile:
    """A step of the size under the ceilings of as many threads as it ran on."""
    layers: list[nn.Module] = []
    for inputs, outputs in size.shapes:
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model, problem = nn.Sequential(*layers[:-1]), Problem(size)
    backend = kernels.load("numba", threads=threads)
    optimizer = Adam(model.parameters(), lr=LEARNING_RATE)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, backend, progress=False)
    trainer.fit(problem.features, problem.labels, EPOCHS, size.batch)
    profile = trainer.profile(problem.features, problem.labels, size.batch)
    return profile.under(hardware.measure("float32", profile.timings.threads))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=DEFAULT, help=f"of {', '.join(SIZES)} (default: {DEFAULT})")
    sizes = [SIZES[name] for name in parser.parse_args().sizes.split(",")]
    table, above = [("size", "threads", "us a step", "nearest to its roof", "% of it", "above it")], 0
    for size, threads in itertools.product(sizes, sorted({1, hardware.cpu_count()})):
        profile = profiled(size, threads)
        highest = max(profile.rows, key=lambda row: row.of_roof or 0.0)
        over = sum((row.of_roof or 0.0) > TOLERANCE for row in profile.rows)
        above += over
        table.append((
            size.label, f"{profile.timings.threads} of {threads}", f"{1e6 * profile.seconds:.1f}",
            f"{highest.number} {highest.instruction.kernel}", f"{100 * (highest.of_roof or 0.0):.0f}", str(over),
        ))  # fmt: skip
    print(aligned(table))
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
