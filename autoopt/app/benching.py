"""`autoopt bench`: what is asked for, checked, and measured."""

from collections.abc import Sequence
from pathlib import Path

from autoopt.app.options import raise_all
from autoopt.bundle import BenchReport, bench_bundles
from autoopt.devices import machine
from autoopt.errors import Problem

MOST_ROWS = 1 << 16
MOST_BUNDLES = 8


def bench_folders(
    bundles: Sequence[str],
    *,
    rows: str,
    threads: str | None,
    seconds: float,
    task: str | None = None,
    misread: Sequence[Problem] = (),
) -> BenchReport:
    """Measure bundles against each other. `rows` and `threads` are lists such as '1,16,256'.

    Without `threads`, one and all that there are. Raises OptionError with all that cannot be
    meant, what was `misread` before included, and BundleError.
    """
    cores = machine().cores
    problems = [*misread]
    sizes = _numbers("--rows", rows, MOST_ROWS, problems)
    counts = _numbers("--threads", threads, cores, problems) if threads is not None else sorted({1, cores})
    folders = [Path(bundle) for bundle in bundles]
    resolved = [folder.resolve() for folder in folders]
    twice = {str(folder) for folder, path in zip(folders, resolved, strict=True) if resolved.count(path) > 1}
    if twice:
        problems.append(Problem(what=f"{sorted(twice)[0]} is given twice.", mend="Give each bundle once."))
    if len(folders) > MOST_BUNDLES:
        mend = f"Give {MOST_BUNDLES} at most: they are all held in memory."
        problems.append(Problem(what=f"{len(folders)} bundles are too many.", mend=mend))
    raise_all(problems)
    return bench_bundles(folders, rows=sizes, threads=counts, seconds=seconds, task=task)


def _numbers(option: str, text: str, most: int, problems: list[Problem]) -> list[int]:
    """Whole numbers from 1 to `most`, each once, in order."""
    words = [word.strip() for word in text.split(",")]
    found = sorted({int(word) for word in words if word.isdecimal() and 1 <= int(word) <= most})
    if any(not word.isdecimal() or not 1 <= int(word) <= most for word in words):
        mend = f"Give whole numbers from 1 to {most:,}, with commas between them: {option} 1,{min(most, 16)}"
        problems.append(Problem(what=f"{option} {text!r} cannot be meant.", mend=mend))
    return found
