"""The report: one page, whose numbers are --json's, that any browser shows at any width without asking anybody."""

import json
import os
import shlex
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import Browser, chromium
from children import finished
from repository import ROOT

from kernels import hardware
from tinynet.command import command_line
from tinynet.command.command_line import main
from tinynet.experiments import experiment
from tinynet.files import write_atomically

VOID = {"meta", "link", "br", "img", "input", "hr"}
SMALL = ["--dataset", "iris", "--epochs", "3", "--quiet"]
PAGES = {
    "one run": [],
    "eager": ["--eager"],
    "numpy": ["--backend", "numpy"],
    "comparison": ["--compare", "numpy,numba"],
    "ladder": ["--compare", "--ladder"],
}


@pytest.fixture(scope="module", autouse=True)
def quick_ceilings():
    """Ceilings of a moment: what they are does not matter here."""
    pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "ceilings", cache(lambda dtype, n: hardware.measure(dtype, n, 0.002, rounds=1)))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, quick_ceilings):
    """A function that makes a page once: its path, what --json wrote, the arguments."""
    folder = tmp_path_factory.mktemp("reports")

    @cache
    def make(name):
        page, out = folder / f"{name}.html", folder / f"{name}.json"
        arguments = [*SMALL, *PAGES[name], "--report", str(page), "--json", str(out)]
        assert main(arguments) == 0
        return page, json.loads(out.read_text()), arguments

    return make


class Page(HTMLParser):
    """Elements as (tag, attributes, names of those around it), and the text within each."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.elements[i][0] for i in self._open)))
        self.texts.append("")
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data):
        for i in self._open:
            self.texts[i] += data

    def find(self, *tags):
        return [attributes for tag, attributes, _ in self.elements if tag in tags]

    def text(self, tag):
        return [text for (found, _, _), text in zip(self.elements, self.texts, strict=True) if found == tag]


def numbers(value):
    """All numbers within a JSON document."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def derived(document):
    """Numbers that follow from those of the document: sums, shares and intensities."""
    for run in document["runs"]:
        yield sum(run["seconds"])
        if profile := run.get("profile"):
            step = profile["timed_seconds"]
            yield from (1.0, profile["seconds"] / step)
            yield from (profile[part] / step for part in ("waiting", "between"))
            yield from (seconds / step for seconds in profile["subtotals"].values())
            for entry in profile["instructions"]:
                yield from (entry["seconds"] / step, entry["flops"] / entry["bytes"])


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_sound(made, name):
    page = Page(made(name)[0].read_text())
    assert len(page.find("h1")) == len(page.find("main")) == 1
    assert [around for tag, _, around in page.elements if tag == "title" and "svg" not in around] == [("html", "head")]
    assert page.find("html")[0]["lang"] == "en" and "width=device-width" in str(page.find("meta"))
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert page.find("svg") and all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in page.find("svg"))
    for tag, attributes, _ in page.elements:
        assert not any(attribute.startswith("on") for attribute in attributes)
        for attribute in ("href", "xlink:href", "src", "srcset", "action", "data", "poster"):
            target = attributes.get(attribute, "#")
            assert target == "data:," or (target[0] == "#" and (target == "#" or target[1:] in ids)), (tag, target)
    assert "@import" not in page.text("style")[0] and "url(" not in page.text("style")[0]
    assert [a["type"] for a in page.find("script")] == ["application/json"]
    levels = [int(tag[1]) for tag, _, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and set(levels[1:]) <= {2, 3} and levels[1] == 2
    assert all(a.get("scope") in ("row", "col") for a in page.find("th"))
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in page.find("div") if a.get("role") == "region")
    assert all(a["tabindex"] == "0" and a["role"] == "group" and a["aria-label"] for a in page.find("pre"))
    landmarks = [a["aria-label"] for _, a, _ in page.elements if a.get("role") == "region"]
    assert len(landmarks) == len(set(landmarks))


@pytest.mark.parametrize("name", PAGES)
def test_its_numbers_are_those_of_json(made, name):
    path, document, _ = made(name)
    page = Page(path.read_text())
    assert json.loads(page.text("script")[0]) == document
    known = {*numbers(document), *derived(document)}
    values = [float(attributes["value"]) for attributes in page.find("data")]
    assert values and [value for value in values if value not in known] == []


@pytest.mark.parametrize("name", PAGES)
def test_it_shows_every_run_and_every_instruction(made, name):
    path, document, arguments = made(name)
    page = Page(path.read_text())
    command = page.text("pre")[-1]
    assert shlex.split(command) == ["tinynet", *arguments]
    said = " ".join(page.text("body"))
    profiled = [run["profile"] for run in document["runs"] if "profile" in run]
    if name == "eager":
        assert profiled == [] and "the steps ran eagerly" in said.lower()
        return
    fastest = min(profiled, key=lambda profile: profile["seconds"])
    kernels = [f"{entry['number']}{entry['group']}{entry['kernel']}" for entry in fastest["instructions"]]
    assert [text for text in page.text("summary") if text[0].isdigit()] == [
        f"{kernel}{1e6 * entry['seconds']:,.2f} µs{entry['seconds'] / fastest['timed_seconds']:.1%}{entry['of_roof']:.0%} of roof"
        for kernel, entry in zip(kernels, fastest["instructions"], strict=True)
    ]
    dots = {e["number"] for e in fastest["instructions"] if e["flops"]}
    for width in ("wide", "narrow"):
        ids = {a["id"] for a in page.find("g") if "id" in a}
        assert {f"roofline-{width}-dot-{number}" for number in dots} <= ids
        bars = {
            f"timeline-{width}-bar-{thread}-{e['number']}"
            for e in fastest["instructions"]
            for thread in range(fastest["threads"])
        }
        assert bars <= ids
    assert ("Ladder" in page.text("h2")) == (name == "ladder")
    assert ("Comparison" in page.text("h2")) == (name == "comparison")
    for ceilings in document["ceilings"]:
        for value in (*ceilings["gflops"].values(), *ceilings["gigabytes"].values()):
            assert f'value="{value!r}"' in path.read_text()


def test_each_instruction_opens_to_its_code(made):
    """Once: what runs the same loop says where it is."""
    path, document, _ = made("one run")
    page = Page(path.read_text())
    codes = page.text("pre")[:-1]
    assert len(codes) == len(set(codes)) and all("instructions a turn" in code for code in codes)
    items = [
        text
        for text, (tag, a, _) in zip(page.texts, page.elements, strict=True)
        if a.get("id", "").startswith("instruction-")
    ]
    entries = document["runs"][0]["profile"]["instructions"]
    assert len(items) == len(entries)
    for item, entry in zip(items, entries, strict=True):
        assert entry["operands"] in item and "This loop does" in item
        assert "instructions a turn" in item or "Its code is shown at instruction" in item
    assert "and to the loop where it spends its time" in page.text("main")[0]
    of_numpy = Page(made("numpy")[0].read_text())
    assert any("BLAS" in code or "blas" in code for code in of_numpy.text("pre"))
    assert "and to the NumPy functions that it calls" in of_numpy.text("main")[0]


def test_interpreted_instructions_promise_no_code(tmp_path):
    path = tmp_path / "page.html"
    assert main([*SMALL, "--backend", "naive", "--hidden", "4", "--report", str(path)]) == 0
    page = Page(path.read_text())
    assert len(page.text("pre")) == 1  # the command
    assert "its code is Python" in page.text("main")[0] and "spends its time" not in page.text("main")[0]


def test_names_from_outside_are_text(capsys, tmp_path):
    table = tmp_path / "<script>alert('x')<!--.csv"
    rows = [f"{i},{i % 3},{i % 2}" for i in range(40)]
    table.write_text("\n".join(['"<img src=x onerror=alert(1)>",b,"</script><b>"', *rows]))
    page = tmp_path / "page.html"
    status = main(["--dataset", str(table), "--target", "</script><b>", "--backend", "numpy", "--epochs", "1", "--quiet",
                   "--report", str(page)])  # fmt: skip
    assert status == 0
    found = Page(page.read_text())
    assert len(found.find("script")) == 1 and not found.find("img") and not found.find("b")
    assert "<script>alert('x')<!--" in found.text("h1")[0]


@pytest.mark.parametrize(("name", "shown"), [(b"a$_$b^", "a$_$b^"), (b"caf\xe9$_$", "caf\N{REPLACEMENT CHARACTER}$_$")])
def test_a_name_may_hold_dollars_and_what_is_no_utf_8(capsys, tmp_path, name, shown):
    table = Path(os.fsdecode(os.fsencode(tmp_path / "x").removesuffix(b"x") + name + b".csv"))
    table.write_text("\n".join(["a,b,y", *(f"{i},{i % 3},{i % 2}" for i in range(40))]))
    pictures, page = [tmp_path / f"{kind}.svg" for kind in ("plot", "roofline")], tmp_path / "page.html"
    arguments = [
        "--dataset",
        str(table),
        "--target",
        "y",
        "--model",
        "mlp",
        "--epochs",
        "9",
        "--plot",
        str(pictures[0]),
        "--report",
        str(page),
    ]
    assert main(arguments) == 0  # the tabular model
    assert f">{shown}" in pictures[0].read_text() and Page(page.read_text()).text("h1")[0].startswith(shown)
    assert main([*arguments, "--model", "mlp", "--roofline", str(pictures[1])]) == 0
    assert all(f">{shown}" in picture.read_text() for picture in pictures)
    found = Page(page.read_text())
    assert found.text("h1")[0].startswith(shown) and shown in found.text("pre")[-1]


def test_others_may_read_it_as_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "page.html", b"")
    finally:
        os.umask(before)
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("page.html", 0o644)]


@pytest.mark.parametrize("option", ["--report", "--roofline"])
@pytest.mark.parametrize("where", ["missing/out.png", "."])
def test_what_cannot_be_written_is_refused_before_training(capsys, monkeypatch, tmp_path, option, where):
    monkeypatch.setattr(command_line, "train", lambda *_: pytest.fail("trained before the check"))
    path = tmp_path / where
    if option == "--roofline" and where == ".":
        path = tmp_path / "folder.png"
        path.mkdir()
    assert main([*SMALL, option, str(path)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"tinynet: {option} is") and complaint.count("\n") == 1


def test_a_disk_that_is_full_in_the_end_gets_one_sentence(capsys, monkeypatch, tmp_path):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinynet.report.page.write_atomically", fails)
    assert main([*SMALL, "--eager", "--report", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err == "tinynet: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("option", ["--report", "--roofline"])
def test_without_matplotlib_it_says_what_to_install(capsys, monkeypatch, tmp_path, option):
    monkeypatch.setattr(command_line, "train", lambda *_: pytest.fail("trained before the check"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([*SMALL, option, str(tmp_path / "out.svg")]) == 2
    assert "pip install 'tinynet[plot]'" in capsys.readouterr().err


def test_without_numba_there_is_a_page_without_a_roof(tmp_path):
    body = "import sys; sys.modules['numba'] = None; from tinynet.command.command_line import main; sys.exit(main(sys.argv[1:]))"
    page = tmp_path / "page.html"
    command = [sys.executable, "-c", body, *SMALL, "--report", str(page), "--roofline", str(tmp_path / "roof.png")]
    done = finished(command, cwd=ROOT)
    assert done.returncode == 0 and "no roofline was drawn" in done.stderr
    found = Page(page.read_text())
    assert "pip install numba" in found.text("main")[0] and "A step on each thread" in found.text("h2")


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_roofline_alone(tmp_path, ending, begins):
    path = tmp_path / f"roof.{ending}"
    assert main([*SMALL, "--roofline", str(path)]) == 0
    assert path.read_bytes().startswith(begins)
    if ending == "svg":
        assert all(f">{name}<" in path.read_text() for name in ("forward", "dX", "dW", "optimizer", "GFLOP/s"))


# ---- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if chromium() is None:
        pytest.skip("needs Chromium: apt-get install chromium, or its path in $CHROMIUM")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


WRONG = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")

CONTRAST = """
(() => {
  const parts = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => parts(c).slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (parts(c)[3] !== 0) return c; } return 'rgb(255, 255, 255)'; };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    const box = e.getBoundingClientRect();
    if (!own || !box.width || e.closest('title, script') || e.closest('[id*=timeline] g[id*=axes]')) continue;
    const style = getComputedStyle(e), colour = e.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(colour), light(behind(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) found.push([e.textContent.trim().slice(0, 30), colour]);
  }
  return found;
})()
"""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_it(made, browser, name, width, dark):
    path = made(name)[0]
    browser.open(path, width, dark)
    assert [event for event in browser.events if event[0] in WRONG] == []
    asked = [event["request"]["url"] for method, event in browser.events if method == "Network.requestWillBeSent"]
    assert [url for url in asked if url != "data:,"] == [path.resolve().as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CONTRAST) == []
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(254, 254, 254)") != dark
    seen = "[...document.querySelectorAll('figure > .{}')].filter(e => e.offsetHeight > 50).length"
    shown, hidden = ("narrow", "wide") if width == 390 else ("wide", "narrow")
    assert browser.evaluate(seen.format(shown)) >= 1 and browser.evaluate(seen.format(hidden)) == 0
    smallest = "Math.min(...[...document.querySelectorAll('svg text')].filter(e => e.getBoundingClientRect().width)" \
               ".map(e => parseFloat(getComputedStyle(e).fontSize) * e.getScreenCTM().a || 99))"  # fmt: skip
    assert browser.evaluate(smallest) > 5  # of a slanted label it is the horizontal part


def test_the_keyboard_is_enough(made, browser):
    browser.open(made("one run")[0], 1440)
    focused = "document.activeElement.{}"
    browser.press("Tab", windowsVirtualKeyCode=9)
    assert browser.evaluate(focused.format("textContent")) == "Skip to the results"
    browser.press("Enter", windowsVirtualKeyCode=13, text="\r")
    browser.press("Tab", windowsVirtualKeyCode=9)
    assert browser.evaluate(focused.format("localName")) == "summary"
    assert browser.evaluate(f"getComputedStyle({focused.format('')[:-1]}).outlineStyle") == "solid"
    browser.press("Enter", windowsVirtualKeyCode=13, text="\r")
    assert browser.evaluate(focused.format("parentElement.open")) is True
    reached = browser.evaluate(
        "[...document.querySelectorAll('summary, a, [tabindex=\"0\"]')].every(e => e.tabIndex >= 0)"
    )
    assert reached is True


def test_it_prints(made, browser, tmp_path):
    browser.open(made("one run")[0], 390, dark=True)
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("getComputedStyle(document.querySelector('.wide')).display") == "block"
