"""CPUs are counted by affinity and by the quotas of control groups, whose files are read under a root of the test's."""

import math
import os

import pytest

from kernels import cpus, hardware
from kernels.numba_backend.runtime.machine import best_threads

V2 = "31 23 0:41 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate\n"
V1 = "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
MEMORY = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


def system(root, groups="", mounts="", **files):
    """Files of a system; of a group's folder the slashes are spelt __."""
    contents = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts}
    contents |= {f"sys/fs/cgroup/{name.replace('__', '/')}": text for name, text in files.items()}
    for name, text in contents.items():
        if text:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)


def maximum(text, group=""):
    return {f"{group}cpu.max": text}


def legacy(quota, period=100000, group=""):
    folder = f"cpu,cpuacct__{group}"
    return {f"{folder}cpu.cfs_quota_us": f"{quota}\n", f"{folder}cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "expected"),
    [
        ("", "", {}, math.inf),
        ("0::/\n", V2, {}, math.inf),
        ("0::/\n", V2, maximum("max 100000\n"), math.inf),
        ("0::/\n", V2, maximum("150000 100000\n"), 1.5),
        ("0::/a/b\n", V2, maximum("150000 100000\n", "a__b__"), 1.5),
        ("0::/a/b\n", V2, maximum("300000 100000\n", "a__b__") | maximum("50000 100000\n", "a__"), 0.5),
        ("0::/a/b\n", V2, maximum("max 100000\n", "a__b__") | maximum("250000 100000\n"), 2.5),
        ("0::/../other\n", V2, maximum("200000 100000\n"), 2.0),
        ("0::/a\n", V2, maximum("100000 100000\n", "b__"), math.inf),
        ("0::/\n", V2, maximum("nonsense\n"), math.inf),
        ("0::/\n", V2, maximum("0 0\n"), math.inf),
        ("", "", maximum("200000 100000\n"), 2.0),
        ("", "", legacy(350000), 3.5),
        ("4:cpu,cpuacct:/\n0::/\n", V1.format(root="/") + MEMORY, legacy(-1), math.inf),
        ("4:cpu,cpuacct:/x/y\n", V1.format(root="/"), legacy(25000, 50000, "x__y__") | legacy(-1, group="x__"), 0.5),
        ("4:cpu,cpuacct:/x/y\n", V1.format(root="/"), legacy(-1, group="x__y__") | legacy(70000, group="x__"), 0.7),
        ("4:cpu,cpuacct:/docker/ab\n", V1.format(root="/docker/ab"), legacy(120000), 1.2),
        ("4:cpu,cpuacct:/\n", V1.format(root="/docker/ab"), legacy(120000), 1.2),
        ("5:memory:/x\n4:cpu,cpuacct:/\n0::/\n", V1.format(root="/") + MEMORY + V2,
         legacy(300000) | maximum("200000 100000\n"), 2.0),
        ("4:cpu:/my group\n", "32 31 0:29 / /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,cpu\n",
         {"a b__my group__cpu.cfs_quota_us": "60000", "a b__my group__cpu.cfs_period_us": "30000"}, 2.0),
    ],
)  # fmt: skip
def test_quotas(tmp_path, monkeypatch, groups, mounts, files, expected):
    system(tmp_path, groups, mounts, **files)
    monkeypatch.setattr(cpus, "ROOT", tmp_path)
    assert cpus.quota() == expected


@pytest.mark.parametrize(
    ("allowed", "counted"), [("10000", 1), ("100000", 1), ("100001", 2), ("250000", 3), ("800000", 4), ("max", 4)]
)
def test_whatever_counts_cpus_sees_the_quota(tmp_path, monkeypatch, allowed, counted):
    """Rounded up, never more than the affinity, never less than one."""
    system(tmp_path, "0::/\n", V2, **maximum(f"{allowed} 100000\n"))
    monkeypatch.setattr(cpus, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert cpus.cpu_count() == hardware.cpu_count() == best_threads() == counted


def test_files_that_cannot_be_read_are_no_quota(tmp_path, monkeypatch):
    (tmp_path / "proc/self/cgroup").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_bytes(b"\xff\xfe - cgroup2\n")
    monkeypatch.setattr(cpus, "ROOT", tmp_path)
    assert cpus.quota() == math.inf
