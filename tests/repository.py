"""Where the repository is, and copies of it."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"


def copied(top: Path, *folders: str) -> Path:
    """`top` with a copy of these folders, but for what Python keeps in them."""
    for folder in folders:
        shutil.copytree(ROOT / folder, top / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return top
