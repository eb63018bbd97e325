"""The page's sections: words, pictures, and after each picture a table of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from kernels import hardware
from kernels.hardware import Ceilings
from kernels.program import Profile, Row
from kernels.program.listing import operands_of
from kernels.text import scaled

from ..experiments import comparison as compared
from ..experiments import ladder as rungs
from ..experiments.experiment import Run
from ..plots.roofline import dots, draw_roofline
from ..plots.runs import draw_losses, draw_speeds
from ..plots.style import NARROW, WIDE
from ..plots.timeline import draw_timeline
from .code import Piece, kind_of_code, pieces_of
from .html import Cell, details, figure, paragraph, shown, table
from .svg import inline


def _picture(
    name: str, label: str, caption: str, draw: Callable[[float], Any], tips: Mapping[str, str] | None = None
) -> str:
    wide, narrow = (
        inline(draw(width), f"{name}-{size}", label, tips) for width, size in ((WIDE, "wide"), (NARROW, "narrow"))
    )
    return figure(wide, narrow, caption)


def microseconds(seconds: float) -> Cell:
    """With two digits after the point."""
    return seconds, f"{1e6 * seconds:,.2f}"


def percent(part: float | None) -> Cell:
    """Of a whole; a dash for what is not known."""
    return "-" if part is None else (part, f"{part:.1%}")


# ---- what came out --------------------------------------------------------------------------------------------------


def introduction(runs: Sequence[Run]) -> str:
    """What was trained, and the best of it."""
    best = max(runs, key=rungs.samples_per_second)
    options, history = best.options, best.history
    hidden = "-".join(map(str, options.hidden)) or "no hidden layer"
    said = (
        f"A multilayer perceptron ({hidden}, {options.activation}) on {best.dataset}: batches of "
        f"{options.batch_size}, {options.optimizer}, {options.dtype}, {len(history.train_loss)} epochs."
    )
    facts: list[tuple[str, Cell]] = [
        (f"test {best.score_name}", (best.test_score, f"{best.test_score:.4f}")),
        ("samples a second, on average", (history.samples_per_second, f"{history.samples_per_second:,.0f}")),
        ("seconds of training", (sum(history.seconds), f"{sum(history.seconds):.3g}")),
    ]
    if best.profile is not None:
        facts.append(("microseconds a step, profiled", (best.profile.seconds, f"{1e6 * best.profile.seconds:,.2f}")))
    if len(runs) > 1:
        facts.insert(0, ("fastest", best.label))
    boxes = "".join(f"<div><dt>{escape(name)}</dt><dd>{shown(value)}</dd></div>" for name, value in facts)
    return f'{paragraph(said)}<dl class="facts">{boxes}</dl>'


def losses(runs: Sequence[Run]) -> str:
    """The curves, and each epoch's loss."""
    caption = "The mean loss of each epoch on the rows that train."
    if len(runs) > 1:
        caption += " Curves that agree cover each other: earlier ones are wider, so that all are seen."
    epochs = max(len(run.history.train_loss) for run in runs)
    rows: list[list[Cell]] = [["epoch", *(run.label for run in runs)]]
    for epoch in range(epochs):
        values = [run.history.train_loss[epoch : epoch + 1] for run in runs]
        rows.append([str(epoch + 1), *((value[0], f"{value[0]:.6g}") if value else "-" for value in values)])
    label = (
        f"Loss curves of {', '.join(run.label for run in runs)} over {epochs} epochs; the table below has the numbers."
    )
    return _picture("loss", label, caption, lambda width: draw_losses(runs, width)) + details(
        "Each epoch's loss", table("Loss of each epoch", rows)
    )


def comparison(runs: Sequence[Run]) -> str:
    """How fast each is, and whether the losses agree."""
    return _speeds(runs, compared.cells(runs), "The same net, the same batches on each backend.")


def ladder(runs: Sequence[Run]) -> str:
    """What each technique brings."""
    return _speeds(runs, rungs.cells(runs), "The same net, one technique more at a time; below, for comparison.")


def _speeds(runs: Sequence[Run], cells: Sequence[Sequence[Cell]], said: str) -> str:
    label = "Bars of microseconds a step: " + ", ".join(
        f"{run.label} {1e6 * rungs.seconds_a_step(run):,.1f}" for run in runs
    )
    picture = _picture("speeds", label, said, lambda width: draw_speeds(runs, width))
    cut = "".join(paragraph(f"{sentence}.") for sentence in compared.stopped(runs))
    return picture + table("The runs", cells) + cut


# ---- a step ---------------------------------------------------------------------------------------------------------


def no_profile(runs: Sequence[Run]) -> str:
    """Why there is no picture of a step."""
    why = dict.fromkeys(run.unprofiled for run in runs)
    return paragraph(f"There is no recorded step to look into: {'; '.join(why)}.")


def _tip(row: Row, profile: Profile) -> str:
    of_roof = "" if row.of_roof is None else f", {row.of_roof:.0%} of the roof"
    return (
        f"{row.number} {row.instruction.kernel} ({row.group}): {1e6 * row.seconds:.2f} us, "
        f"{row.seconds / profile.timings.step:.1%} of the step{of_roof}"
    )


def roofline(run: Run, profile: Profile, others: Sequence[Ceilings]) -> str:
    """Each instruction under what the machine can do at most."""
    if profile.ceilings is None:
        return paragraph("The machine's ceilings are measured with Numba, which is not installed: pip install numba")
    drawn, rows = dots(profile), profile.rows
    idle = [row for row in rows if not row.instruction.flops]
    highest = max(drawn, key=lambda row: row.of_roof or 0.0)
    caption = (
        f"Each mark is an instruction of the step on {run.label}; the larger, the more of all kernels' time. A roof is "
        "the best that was measured on this machine: multiply-adds by lanes of a vector, and bytes from each level of "
        f"memory. Nearest to its own is {highest.instruction.kernel} (instruction {highest.number}), with "
        f"{highest.of_roof:.0%} of it. "
    )
    if idle:
        share = sum(row.seconds for row in idle) / profile.timings.step
        caption += f"Not shown: {len(idle)} instructions that do no arithmetic, {share:.1%} of the step. "
    label = f"Roofline of {len(drawn)} instructions; the table below has the numbers."
    tips = {f"dot-{row.number}": _tip(row, profile) for row in drawn}
    return (
        _picture("roofline", label, caption, lambda width: draw_roofline(profile, others, width), tips)
        + details("The instructions", table("Instructions under the roof", _under_the_roof(rows)))
        + details("The ceilings", table("Measured ceilings", _ceilings([profile.ceilings, *others])))
    )


def _under_the_roof(rows: Sequence[Row]) -> list[list[Cell]]:
    header: list[Cell] = ["instruction", "group", "FLOP/byte", "GFLOP/s", "GB/s", "of its roof"]
    found: list[list[Cell]] = [
        [
            f"{row.number} {row.instruction.kernel}", row.group, (row.intensity, f"{row.intensity:.3g}"),
            (row.gflops, f"{row.gflops:.1f}"), (row.gigabytes, f"{row.gigabytes:.1f}"), percent(row.of_roof),
        ]
        for row in rows
    ]  # fmt: skip
    return [header, *found]


def _ceilings(measured: Sequence[Ceilings]) -> list[list[Cell]]:
    ordered = sorted(measured, key=lambda ceilings: ceilings.threads)
    header: list[Cell] = ["ceiling", *(f"{c.threads} thread{'s' * (c.threads > 1)}" for c in ordered)]

    def line(name: str, values: Sequence[float], unit: str) -> list[Cell]:
        return [name, *((value, f"{value:,.1f} {unit}") for value in values)]

    peaks = [
        line(f"multiply-adds, {lanes} lane{'s' * (lanes > 1)}", [c.gflops[lanes] for c in ordered], "GFLOP/s")
        for lanes in ordered[0].gflops
    ]
    levels = [line(level, [c.gigabytes[level] for c in ordered], "GB/s") for level in ordered[0].gigabytes]
    return [header, *peaks, *levels]


def timeline(run: Run, profile: Profile) -> str:
    """One step on each thread, and what the step's time goes to."""
    threads, step = profile.timings.threads, profile.timings.step
    caption = (
        f"The last step that was profiled ({run.label}). "
        + ("It ran on one thread. " if threads == 1 else "In gaps a thread waits for another. ")
        + f"Looking at the clock after each instruction costs {max(0.0, profile.cost_of_timing):.1%} of a step."
    )
    tips = {
        f"bar-{thread}-{row.number}": f"{_tip(row, profile)}; here {1e6 * (end - begin):.2f} us"
        for row in profile.rows
        for thread in range(threads)
        for begin, end in [(profile.timings.begins[thread, row.number], profile.timings.ends[thread, row.number])]
    }
    parts = [
        *((f"{part}, in kernels", seconds) for part, seconds in profile.subtotals().items()),
        ("waiting for another thread", profile.waiting),
        ("between kernels", profile.between),
        ("a timed step", step),
        ("an untimed step", profile.seconds),
    ]
    rows: list[list[Cell]] = [["part of a step, on average", "microseconds", "share"]]
    rows += [[name, microseconds(seconds), percent(seconds / step)] for name, seconds in parts]
    label = f"Timeline of a step's {len(profile.rows)} instructions on {threads} threads; the listing has the numbers."
    return _picture("timeline", label, caption, lambda width: draw_timeline(profile, width), tips) + table(
        "Where a step's time goes", rows
    )


def listing(run: Run, profile: Profile) -> str:
    """The instructions in order; each opens to all that is known of it."""
    longest = max((row.seconds for row in profile.rows), default=0.0) or 1.0
    code = kind_of_code(run.backend)
    said = (
        f"{len(profile.rows)} instructions, {scaled(profile.program.flops)}FLOP a step. a: an argument, p: kept from "
        "step to step, t: the step's own; ! marks what is updated. Microseconds are the mean of the threads. Each "
        "opens to what it did" + (f", and to {code}." if code else "; its code is Python, run by the interpreter.")
    )
    shown_at: dict[Piece, int] = {}
    items = "".join(
        _item(row, profile, longest, _code(row, pieces, shown_at))
        for row, pieces in zip(profile.rows, pieces_of(profile.program.instructions, run.backend), strict=True)
    )
    return f'{paragraph(said)}<ol class="listing">{items}</ol>'


def _code(row: Row, pieces: Sequence[Piece], shown_at: dict[Piece, int]) -> str:
    """What the instruction runs; code that an instruction above runs as well is shown there only."""
    found = ""
    for piece in pieces:
        name, sentence, text = piece
        before = shown_at.setdefault(piece, row.number)
        found += f"<h3>{escape(name)}</h3>{paragraph(sentence) if sentence else ''}"
        if before != row.number:
            found += f'<p>Its code is shown at <a href="#instruction-{before}">instruction {before}</a>.</p>'
        elif text:
            found += f'<pre tabindex="0" role="group" aria-label="Code of {escape(name)}">{escape(text)}</pre>'
    return found


def _item(row: Row, profile: Profile, longest: float, code: str) -> str:
    kernel = escape(row.instruction.kernel)
    of_roof = "" if row.of_roof is None else f"{row.of_roof:.0%} of roof"
    summary = (
        f'<span class="muted n">{row.number}</span><span class="group">{escape(row.group)}</span><code>{kernel}</code>'
        f'<span class="bar-cell gone"><span class="bar" style="--share: {row.seconds / longest:.1%}"></span></span>'
        f'<span class="n">{shown(microseconds(row.seconds))} &micro;s</span>'
        f'<span class="n gone">{row.seconds / profile.timings.step:.1%}</span>'
        f'<span class="n muted gone">{of_roof}</span>'
    )
    instruction = row.instruction
    facts: list[tuple[str, Cell]] = [
        ("operands", operands_of(instruction)),
        ("share of the step", percent(row.seconds / profile.timings.step)),
        ("waiting after it", (row.waiting, f"{1e6 * row.waiting:,.2f} \N{MICRO SIGN}s")),
        ("arithmetic", (instruction.flops, f"{scaled(instruction.flops)}FLOP, {row.gflops:.1f} GFLOP/s")),
        ("read and written", (instruction.bytes, f"{scaled(instruction.bytes)}B, {row.gigabytes:.1f} GB/s")),
        ("of its roof", percent(row.of_roof)),
    ]
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{shown(value)}</dd>" for name, value in facts)
    return (
        f'<li id="instruction-{row.number}" class="{escape(row.group)}"><details><summary>{summary}</summary>'
        f'<div class="details"><dl>{terms}</dl>{code}</div></details></li>'
    )


# ---- where, and how -------------------------------------------------------------------------------------------------


def machine() -> str:
    """What the figures belong to."""
    return "".join(map(paragraph, hardware.as_lines(hardware.description())))


def reproduce(command: str) -> str:
    """The command that made the page."""
    return f'<pre class="command" tabindex="0" role="group" aria-label="Command"><code>{escape(command)}</code></pre>'
