"""Which runtimes an export may choose among: what `--targets` says, else what is here."""

from collections.abc import Collection, Sequence

from autoopt.errors import Problem
from autoopt.runtime.engines import ENGINES, engine, engine_names


def targets_problems(targets: Sequence[str] | None) -> list[Problem]:
    """Names that are no runtime's, and runtimes that are not here, with the line that installs each."""
    found: list[Problem] = []
    for name in targets or ():
        known = engine(name)
        if known is None:
            mend = f"Give some of {', '.join(engine_names())}, with commas between them."
            found.append(Problem(what=f"--targets {name!r} is no runtime.", mend=mend))
        elif known.absence:
            mend = f"{known.install}; or leave it out of --targets."
            found.append(Problem(what=f"--targets {name}: it is not installed here.", mend=mend))
    if targets is not None and not targets:
        mend = f"Give some of {', '.join(engine_names())}, or leave it out."
        found.append(Problem(what="--targets names no runtime.", mend=mend))
    return found


def runtimes_for(targets: Sequence[str] | None) -> tuple[str, ...]:
    """What may be tried: the targets, else every runtime that is here and takes no more than moments."""
    return tuple(targets) if targets is not None else tuple(e.name for e in ENGINES if e.unasked and not e.absence)


def runtime_rows(devices: Collection[str]) -> list[tuple[str, str]]:
    """(what, how it stands) of the runtimes that this machine's kinds of devices can have, for `autoopt doctor`."""
    here = [f"{e.name} {e.version}" if e.version else e.name for e in ENGINES if not e.absence]
    absent = [e for e in ENGINES if e.absence and e.device in ("cpu", *devices)]
    return [
        ("runtimes", ", ".join(here)),
        *(("optional", f"{e.name} to serve bundles (--targets): {e.install}") for e in absent),
    ]
