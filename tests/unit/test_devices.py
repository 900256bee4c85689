"""What the machine is taken for, from files and programs made to say so."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from autoopt.devices import Accelerator, Cgroups, Machine, describe, describe_libraries, machine, slots
from autoopt.devices.accelerators import find_accelerators, parse_nvidia_smi, torch_build, visible
from autoopt.devices.host import cpu_features, read_cpuinfo, usable_cores
from autoopt.devices.libraries import LIBRARIES, Library
from autoopt.errors import OptionError

SMI = """\
0, GPU-aaaa, NVIDIA H100 80GB HBM3, 81559, 9.0
1, GPU-bbbb, Tesla T4, 15360, 7.5
2, GPU-cccc, NVIDIA Strange, [N/A], [N/A]
not a row
"""


def make_cgroups(folder: Path, membership: str, files: Mapping[str, str]) -> Cgroups:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "membership").write_text(membership)
    (folder / "vmstat").write_text("nr_free_pages 5\noom_kill 7\n")
    return Cgroups(root=folder, membership=folder / "membership", vmstat=folder / "vmstat")


def make_machine(cores: int = 8, accelerators: tuple[Accelerator, ...] = ()) -> Machine:
    return Machine(
        cores=cores,
        memory_bytes=16_000_000_000,
        disk_free_bytes=1_000_000_000,
        cpu_model="A CPU",
        cpu_features=frozenset({"vnni"}),
        accelerators=accelerators,
    )


@pytest.mark.parametrize(
    "membership, files, cores, memory_bytes, oom_kills",
    [
        pytest.param(
            "0::/a/b\n",
            {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n", "a/memory.max": "1000000\n"}
            | {"a/b/memory.max": "max\n", "a/b/memory.events": "low 0\noom 3\noom_kill 2\n"},
            1.5,
            1_000_000,
            2,
            id="v2: the tightest on the way up",
        ),
        pytest.param(
            "0::/../../host/path\n", {"cpu.max": "400000 100000\n"}, 4.0, None, 7, id="v2: a path outside the container"
        ),
        pytest.param(
            "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}
            | {"memory/memory.limit_in_bytes": "2000000\n", "memory/memory.oom_control": "under_oom 0\noom_kill 1\n"},
            0.5,
            2_000_000,
            1,
            id="v1: the host's path does not exist below the container's mount",
        ),
        pytest.param(
            "4:cpu:/\n3:memory:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
            | {"memory/memory.limit_in_bytes": "9223372036854771712\n"},
            None,
            None,
            7,
            id="v1: no limits",
        ),
        pytest.param("", {}, None, None, 7, id="no groups"),
        pytest.param("nonsense\n0::\n", {"cpu.max": "a b\n", "memory.max": "\n"}, None, None, 7, id="nonsense"),
    ],
)
def test_limits_of_a_container(
    tmp_path: Path,
    membership: str,
    files: Mapping[str, str],
    cores: float | None,
    memory_bytes: int | None,
    oom_kills: int,
) -> None:
    groups = make_cgroups(tmp_path, membership, files)
    assert (groups.cpu_quota_cores(), groups.memory_limit_bytes(), groups.oom_kills()) == (
        cores,
        memory_bytes,
        oom_kills,
    )


@pytest.mark.parametrize(
    "membership, files, free_bytes",
    [
        pytest.param(
            "0::/a\n",
            {"a/memory.max": "1000\n", "a/memory.current": "900\n", "a/memory.stat": "anon 5\ninactive_file 50\n"}
            | {"memory.max": "5000\n", "memory.current": "4990\n", "memory.stat": "active_file 30\n"},
            40,
            id="v2: the tightest, files in the cache are free",
        ),
        pytest.param(
            "3:memory:/\n",
            {"memory/memory.limit_in_bytes": "1000\n", "memory/memory.usage_in_bytes": "1100\n"}
            | {"memory/memory.stat": "inactive_file 1\ntotal_inactive_file 70\ntotal_active_file 20\n"},
            0,
            id="v1: with the groups below, never less than nothing",
        ),
        pytest.param("0::/\n", {"memory.max": "max\n", "memory.current": "900\n"}, None, id="no limit"),
    ],
)
def test_memory_that_a_container_has_left(
    tmp_path: Path, membership: str, files: Mapping[str, str], free_bytes: int | None
) -> None:
    assert make_cgroups(tmp_path, membership, files).memory_free_bytes() == free_bytes


def test_a_quota_below_one_core_leaves_one_core(tmp_path: Path) -> None:
    assert usable_cores(make_cgroups(tmp_path, "0::/\n", {"cpu.max": "20000 100000"})) == 1


def test_a_quota_above_the_machine_changes_nothing(tmp_path: Path) -> None:
    assert usable_cores(make_cgroups(tmp_path, "0::/\n", {"cpu.max": "99900000 100000"})) == usable_cores(Cgroups())


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is told on Linux only")
def test_affinity_is_respected() -> None:
    code = "import os; os.sched_setaffinity(0, {0}); from autoopt.devices import machine; print(machine().cores)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize(
    "flags, features",
    [
        ("fpu sse2 avx2", set()),
        ("avx512f avx512_vnni", {"avx512", "vnni"}),
        ("avx_vnni", {"vnni"}),
        ("avx512f amx_tile amx_bf16", {"avx512", "amx", "bf16"}),
        ("asimd bf16", {"bf16"}),
    ],
)
def test_features_of_the_processor(tmp_path: Path, flags: str, features: set[str]) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nmodel name\t: A: CPU\nflags\t: {flags}\n\nprocessor : 1\n")
    model, found = read_cpuinfo(tmp_path / "cpuinfo")
    assert model == "A: CPU"
    assert cpu_features(found) == features


def test_a_machine_without_cpuinfo_has_a_name_all_the_same(tmp_path: Path) -> None:
    model, flags = read_cpuinfo(tmp_path / "absent")
    assert model
    assert flags == frozenset()


def test_rows_of_nvidia_smi() -> None:
    h100, t4, strange = (device for _, device in parse_nvidia_smi(SMI))
    assert (h100.name, h100.index, h100.memory_bytes) == ("NVIDIA H100 80GB HBM3", 0, 81559 << 20)
    assert h100.features == {"fp16", "bf16"}
    assert t4.features == {"fp16"}
    assert strange.memory_bytes is None
    assert strange.features == {"fp16", "bf16"}


@pytest.mark.parametrize(
    "mask, names",
    [
        (None, ["NVIDIA H100 80GB HBM3", "Tesla T4", "NVIDIA Strange"]),
        ("", []),
        ("-1", []),
        ("1", ["Tesla T4"]),
        ("2, 0", ["NVIDIA Strange", "NVIDIA H100 80GB HBM3"]),
        ("GPU-bb", ["Tesla T4"]),
        ("GPU-", []),
        ("0,9,1", ["NVIDIA H100 80GB HBM3"]),
    ],
)
def test_the_mask_of_visible_devices(mask: str | None, names: list[str]) -> None:
    left = visible(parse_nvidia_smi(SMI), mask)
    assert [device.name for device in left] == names
    assert [device.index for device in left] == list(range(len(names)))


@pytest.mark.parametrize(
    "text, build",
    [
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", {}),
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", {"cuda": "12.8"}),
        ('xpu = "2025"\n', {"xpu": "2025"}),
        ("", {}),
    ],
)
def test_what_torch_is_built_for(tmp_path: Path, text: str, build: Mapping[str, str]) -> None:
    (tmp_path / "version.py").write_text(text)
    assert torch_build(tmp_path / "version.py") == build


@pytest.mark.slow
def test_torch_is_what_its_files_say() -> None:
    import torch

    assert torch_build().get("cuda") == torch.version.cuda


@pytest.mark.parametrize("script", [f"cat <<'END'\n{SMI}END\n", "exit 9\n", "sleep 60\n"])
def test_a_driver_that_answers_fails_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nexec 2>&1\n{script.replace('sleep', 'exec sleep')}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("autoopt.devices.accelerators._QUERY_TIMEOUT_S", 0.5)
    monkeypatch.setattr("autoopt.devices.accelerators._from_proc", list)
    monkeypatch.setattr("autoopt.devices.accelerators._mps", list)
    usable, missing = find_accelerators()
    answered = 3 if "cat" in script else 0
    if "cuda" in torch_build():
        assert (len(usable), missing) == (answered, ())
    else:
        assert (usable, len(missing)) == ((), answered)
        assert all("no CUDA" in m.what and m.install for m in missing)


def test_this_machine() -> None:
    found = machine()
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert 0 < found.memory_bytes <= psutil.virtual_memory().total
    assert found.disk_free_bytes > 0
    assert machine(Path("/does/not/exist")).disk_free_bytes > 0


@pytest.mark.parametrize(
    "cores, requested, threads",
    [
        (1, None, [1]),
        (2, None, [1, 1]),
        (8, None, [2] * 4),
        (9, None, [2] * 4),
        (8, 1, [8]),
        (8, 3, [2] * 3),
        (3, 3, [1] * 3),
    ],
)
def test_shares_of_the_cpu(cores: int, requested: int | None, threads: list[int]) -> None:
    made = slots(make_machine(cores), requested)
    assert [slot.threads for slot in made] == threads
    assert [slot.index for slot in made] == list(range(len(threads)))
    assert {slot.device for slot in made} == {"cpu"}
    assert {slot.features for slot in made} == {frozenset({"vnni"})}


def test_a_slot_for_each_accelerator() -> None:
    gpus = tuple(Accelerator(kind="cuda", index=i, name="G", features=frozenset({"fp16", "bf16"})) for i in range(2))
    made = slots(make_machine(8, gpus))
    assert [(s.device, s.device_index, s.threads) for s in made] == [("cuda", 0, 4), ("cuda", 1, 4)]
    assert made[0].features == {"fp16", "bf16"}
    assert [s.threads for s in slots(make_machine(8, gpus), 1)] == [8]
    with pytest.raises(OptionError, match=r"2 accelerator.* from 1 to 2"):
        slots(make_machine(8, gpus), 3)


@pytest.mark.parametrize("requested", [-1, 0, 9])
def test_more_slots_than_cores_are_refused_with_the_maximum(requested: int) -> None:
    with pytest.raises(OptionError, match=rf"--slots {requested}: .* 8 usable CPU core.* from 1 to 8"):
        slots(make_machine(8), requested)


def test_rows_for_the_doctor() -> None:
    gpu = Accelerator(kind="cuda", index=0, name="G", memory_bytes=80_000_000_000, features=frozenset({"fp16"}))
    rows = dict(describe(make_machine(8, (gpu,))))
    assert rows["cpu"] == "8 usable core(s), A CPU (vnni)"
    assert rows["cuda:0"] == "G, 80 GB (fp16)"
    versions = dict(describe_libraries())["libraries"]
    assert all(f"{x.distribution} {x.version}" in versions for x in LIBRARIES if x.version is not None)
    assert dict(describe(make_machine()))["accelerator"] == "none: trials run on the CPU"


def test_a_missing_library_is_told_with_its_install_line() -> None:
    absent = (
        Library(distribution="no-such-thing", install="pip install no-such-thing"),
        Library(distribution="nor-this", install="pip install 'autoopt[nor]'", purpose="nothing", optional=True),
    )
    assert describe_libraries(absent) == [
        ("libraries", "none"),
        ("missing", "no-such-thing, which autoopt needs: pip install no-such-thing"),
        ("optional", "nor-this for nothing: pip install 'autoopt[nor]'"),
    ]
    there = (Library(distribution="numpy", install="pip install numpy"),)
    assert describe_libraries(there)[-1] == ("missing", "nothing")


def test_nothing_heavy_is_imported() -> None:
    code = """
import sys
from autoopt.devices import describe, describe_libraries, machine, slots
slots(machine()), describe(machine())
print(sorted({"torch", "numpy", "sklearn", "pandas", "optuna", "mlflow", "sqlalchemy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("status", ["VmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n", "VmRSS:\t    2048 kB\n", None])
def test_the_peak_of_memory_is_told_where_the_kernel_counts_none(
    status: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoopt.devices import memory

    if status is not None:
        (tmp_path / "status").write_text(status)
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    found = memory.peak_memory_bytes()
    assert found == 2 << 20 if status and "VmHWM" in status else found > 10 << 20, "a Python with numpy takes more"
