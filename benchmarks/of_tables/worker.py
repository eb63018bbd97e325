"""A process that fits one contender, started by ``contest``: JSON lines in, JSON lines out.

The first line says who fits on how many threads; each further line names a table and a split, and its answer is the
result, or says under "error" what went wrong.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The project's folder first: in the benchmarks', which is next, ``kernels`` is a script. This one is a package there.
sys.path[:1] = [str(Path(__file__).resolve().parents[n]) for n in (2, 1)]

from of_tables.contenders import KNOWN
from of_tables.data import TABLES
from of_tables.measure import Measurer


def answers(requests: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """An answer to each request after the first."""
    task = next(requests)
    measurer = Measurer(KNOWN[task["contender"]], task["threads"])
    for request in requests:
        try:
            yield measurer.result(TABLES[request["table"]], request["split"])
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            yield {"error": f"{type(error).__name__}: {said[0]}"}


def main() -> None:
    """Answers go to what was the standard output; what libraries print there goes to the standard error."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for answer in answers(json.loads(line) for line in sys.stdin):
        print(json.dumps(answer), file=out)


if __name__ == "__main__":
    main()
