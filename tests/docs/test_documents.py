"""The documents name what there is: files, folders, modules and functions, the command's options."""

import ast
import importlib
import re
from functools import cache

import pytest
from repository import ROOT

from kernels import DECLARATIONS
from tinynet.command import command_line, predicting

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = ("kernels", "tinynet", "benchmarks", "examples", "tests", "docs", "scripts", ".ci")
HOUSE = (ROOT / "docs/architecture.md").read_text()


@cache
def files():
    """All of the repository's files, as paths from its top."""
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return [path.relative_to(ROOT).as_posix() for path in (*inside, *ROOT.glob("*")) if path.is_file()]


def missing_files(text):
    """Files that a text names, in full or by the end of their paths, and that are not there."""
    named = set(re.findall(r"[\w./-]*\w\.(?:py|md|css|toml)\b", text))
    named |= set(re.findall(r"!\[[^]]*\]\(([^)]+)\)", text))
    named |= {word for word in re.findall(r"`([\w./-]+/[\w.-]+)`", text) if word.split("/")[0] in FOLDERS}
    return sorted(
        n for n in named if not any(f == n or f.endswith(f"/{n}") for f in files()) and not (ROOT / n).is_dir()
    )


def missing_folders(text):
    return [name for name in re.findall(r"`([\w./-]+/)`", text) if not (ROOT / name).is_dir()]


def found(dotted):
    """Whether a dotted name is a module of ours, or something in one."""
    name, rest = dotted, []
    while name:
        try:
            value = importlib.import_module(name)
        except ModuleNotFoundError:
            name, _, last = name.rpartition(".")
            rest.insert(0, last)
            continue
        for part in rest:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def missing_modules(text):
    named = set(re.findall(r"(?<![\w./-])(?:kernels|tinynet)(?:\.[A-Za-z_]\w*)+(?!\w|\.\w)", text))
    return sorted(name for name in named if not name.endswith((".py", ".md")) and not found(name))


def missing_options(text):
    """Options that the command has not, in lines that call it."""
    known = {
        of_predict: {option for action in parser()._actions for option in action.option_strings}
        for of_predict, parser in ((False, command_line.parser), (True, predicting.parser))
    }
    lines = re.findall(r"^(?:python train\.py|(?:\.venv/bin/)?tinynet)( predict)? (.*)", text, flags=re.MULTILINE)
    return sorted(
        {option for predict, line in lines for option in re.findall(r"(?<!\S)--[\w-]+", line.split("#")[0])
         if option not in known[bool(predict)]}
    )  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_exists(page):
    text = page.read_text()
    assert missing_files(text) == []
    assert missing_folders(text) == []
    assert missing_modules(text) == []
    assert missing_options(text) == []


def test_what_is_missing_is_found():
    assert missing_files("`kernels/naive.py`, `naive.py`, `kernels/nothing.py`, `aive.py`, `kernels/nothing`") == [
        "aive.py", "kernels/nothing", "kernels/nothing.py"
    ]  # fmt: skip
    assert missing_files("![a picture](docs/none.png)") == ["docs/none.png"]
    assert missing_folders("`kernels/program/` and `kernels/nothing/`") == ["kernels/nothing/"]
    assert missing_modules("kernels.testing.check, kernels.nothing and tinynet.optim.Nothing") == [
        "kernels.nothing", "tinynet.optim.Nothing"
    ]  # fmt: skip
    assert missing_options("tinynet --compare --nothing 3  # --else") == ["--nothing"]
    assert missing_options("tinynet predict a b --proba --output c --compare") == ["--compare"]


# ---- docs/architecture.md -----------------------------------------------------------------------------------------


def defined(path):
    """Names that a file defines: functions and classes, methods also as Class.method, and what it assigns."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def rows_of_the_way():
    """The tables' rows whose first cell is files: these, and the names in the second."""
    rows = re.findall(r"^\| (`[^|]+) \| (`[^|]+) \|", HOUSE, flags=re.MULTILINE)
    return [(re.findall(r"`([^`]+)`", first), re.findall(r"`([^`]+)`", second)) for first, second in rows]


def test_the_way_of_a_batch_can_be_walked():
    rows = rows_of_the_way()
    assert len(rows) > 30 and rows[0] == (["train.py", "tinynet/command_line.py"], ["main"])
    lost = []
    for paths, names in rows:
        there = set().union(*(defined(path) for path in paths))
        if paths[0] == "train.py":
            there |= {"main"}  # which both import
        lost += [f"{name} in {' or '.join(paths)}" for name in names if name not in there]
    assert lost == []


def test_every_name_on_the_page_is_one_of_ours():
    known = set(DECLARATIONS) | {"fit", "def", "predict"}
    for path in files():
        if path.endswith(".py") and path.split("/")[0] in ("kernels", "tinynet", "train.py"):
            known |= defined(path)
    prose = HOUSE.split("```")[0] + HOUSE.split("```")[2]
    named = re.findall(r"`([A-Za-z_][\w.]*)(?:\(\))?`", prose)
    assert [name for name in named if "." not in name and name not in known] == []
