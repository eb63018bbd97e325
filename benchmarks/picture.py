"""A saved report of kernels.py or training.py as a picture.

`python benchmarks/picture.py report.json report.png` draws a report that was written with --json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from of_kernels import picture as of_kernels
from of_training import picture as of_training

if __name__ == "__main__":
    if len(sys.argv) != 3:
        print("picture.py takes two arguments, REPORT.json PICTURE.png", file=sys.stderr)
        sys.exit(2)
    report = json.loads(Path(sys.argv[1]).read_text())
    drawing = of_training if "measured" in report else of_kernels
    drawing.draw(report, Path(sys.argv[2]))
