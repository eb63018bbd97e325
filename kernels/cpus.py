"""How many CPUs this process may use: those it is bound to, or fewer where a container's quota says so."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
"""Where the files of the system are looked for; one that is missing or unreadable means that there is no quota."""


def cpu_count() -> int:
    """CPUs that this process may use: those of its affinity, and of its quota, rounded up."""
    try:
        bound = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        bound = os.cpu_count() or 1
    return max(1, math.ceil(min(bound, quota())))


def quota() -> float:
    """CPUs' worth of time that the process's control groups (cgroup v1 and v2) grant it; infinite without a quota.

    A group has what the tightest of the groups around it has.
    """
    return min((_granted(folder) for folder in _groups()), default=math.inf)


def _groups() -> Iterator[Path]:
    """The folders of the groups that the process is in, for each hierarchy that can limit CPUs from the inside out."""
    mounts = list(_mounts()) or [
        ("cgroup2", "/", "/sys/fs/cgroup"),
        *(("cgroup", "/", f"/sys/fs/cgroup/{name}") for name in ("cpu", "cpu,cpuacct")),
    ]
    own = dict(_own())
    for kind, root, mounted in mounts:
        top = ROOT / mounted.lstrip("/")
        # What is mounted may itself be a group inside the hierarchy; a path that leads out of it is not seen here.
        group = PurePosixPath(own.get(kind, root))
        inside = group.relative_to(root) if group.is_relative_to(root) and ".." not in group.parts else PurePosixPath()
        folder = top / inside
        yield folder
        while folder != top:
            folder = folder.parent
            yield folder


def _own() -> Iterator[tuple[str, str]]:
    """Kind of hierarchy, and the path of the process's group in it: lines such as 4:cpu,cpuacct:/a and 0::/a."""
    for line in _lines("proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield "cgroup2", path
        elif "cpu" in controllers.split(","):
            yield "cgroup", path


def _mounts() -> Iterator[tuple[str, str, str]]:
    """Kind of hierarchy, the group that is mounted, and where, as proc_pid_mountinfo(5) describes the lines."""
    for line in _lines("proc/self/mountinfo"):
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(" ")[-1].split(",")):
            root, mounted = (re.sub(r"\\\d{3}", _unescaped, field) for field in fields.split(" ")[3:5])
            yield kind, root, mounted


def _unescaped(octal: re.Match[str]) -> str:
    r"""A character of a path that would part the line, such as the space of \040."""
    return chr(int(octal[0][1:], 8))


def _granted(folder: Path) -> float:
    """A group's own quota in CPUs: microseconds in each period, where -1 and "max" are none."""
    unified = (_lines(folder / "cpu.max") or [""])[0].split()
    legacy = [(_lines(folder / f"cpu.cfs_{name}_us") or [""])[0] for name in ("quota", "period")]
    for quota, period in (pair for pair in (unified, legacy) if len(pair) == 2):
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            return int(quota) / int(period)
    return math.inf


def _lines(path: str | Path) -> list[str]:
    try:
        return (ROOT / path).read_text().splitlines()
    except (OSError, ValueError):
        return []
