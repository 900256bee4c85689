"""A study in Python: `study.best`, `study.front`, `study.export(folder)`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoopt.app.context import StudyContext
from autoopt.app.finish import Finisher
from autoopt.app.jobs import Jobs
from autoopt.app.options import Places, raise_all
from autoopt.app.pick import picked
from autoopt.app.slots import slots_for
from autoopt.app.studies import open_ledger
from autoopt.app.targets import targets_problems
from autoopt.app.wiring import make_executor, make_outbox
from autoopt.bundle import SigningKey, read_manifest
from autoopt.ledger import StudyRow, Totals, TrialRow
from autoopt.orchestrator import Observer, Silent
from autoopt.orchestrator.selection import best, front, nearest_miss

EXPORT_MEASURING_S, TARGETS_S = 4.0, 2.0
"""For verifying and measuring; so much more where runtimes are asked for."""


class Study:
    """A stored study. Every property reads the database anew, so it is never older than the last trial."""

    def __init__(self, name: str, places: Places) -> None:
        self.name = name
        self.places = places
        with open_ledger(places) as ledger:
            self._context = StudyContext.load(ledger, name, places)

    def __repr__(self) -> str:
        totals = self.totals
        return f"<autoopt study {self.name!r}: {totals.counted} trials, {self.row.state.value}>"

    @property
    def context(self) -> StudyContext:
        """What the study was asked to do."""
        return self._context

    @property
    def row(self) -> StudyRow:
        """State, budget, seconds spent, owner."""
        with open_ledger(self.places) as ledger:
            return ledger.study(self.name)

    @property
    def totals(self) -> Totals:
        """How many trials stand where."""
        with open_ledger(self.places) as ledger:
            return ledger.totals(self.name)

    @property
    def trials(self) -> list[TrialRow]:
        """Every trial, by number."""
        with open_ledger(self.places) as ledger:
            return ledger.trials(self.name)

    @property
    def best(self) -> TrialRow | None:
        """Highest valid quality among complete, feasible trials."""
        return best(self.trials, self._context.facts.metric_direction)

    @property
    def front(self) -> list[TrialRow]:
        """Feasible trials that no other beats on every objective."""
        return front(self.trials, self._context.objectives)

    @property
    def nearest_miss(self) -> TrialRow | None:
        """Where no trial keeps the limits: the one that breaks them least."""
        return nearest_miss(self.trials, self._context.limits, self._context.facts.metric_direction)

    @property
    def bundle(self) -> Path | None:
        """The folder of the last export, if it is still there."""
        with open_ledger(self.places) as ledger:
            exports = ledger.exports(self.name)
        folders = [Path(e.path) for e in exports if (Path(e.path) / "manifest.json").is_file()]
        return folders[-1] if folders else None

    def export(
        self,
        folder: str | Path,
        *,
        pick: str = "best",
        observer: Observer | None = None,
        sign: str | Path | None = None,
        targets: Sequence[str] | None = None,
        seconds: float | None = None,
    ) -> Path:
        """Verify a pick and its twin and write the bundle; returns its folder.

        `pick`: 'best', 'fastest', 'smallest' or a trial's number. `sign`: a PEM file with a private Ed25519 key.
        `targets`: runtimes that may serve it, such as 'openvino'; by default those of the search.
        `seconds`: about how long finding its twin and measuring may take, by default a few; with minutes, forms that
        learn first are among those that are tried where int8 loses too much.
        Raises StudyError, OptionError.
        """
        raise_all(targets_problems(targets))
        context = self._context.to_run_by(None if targets is None else tuple(targets))
        key = None if sign is None else SigningKey.read(sign)
        picked(self._context, self.trials, str(pick))  # what it complains of comes before anything is touched
        with (
            open_ledger(self.places) as ledger,
            ledger.own(self.name) as writer,
            make_outbox(self._context) as outbox,
            make_executor(self._context, slots_for(self._context.facts.modality, self._context.slots)) as executor,
        ):
            finisher = Finisher(
                context=context,
                ledger=ledger,
                writer=writer,
                jobs=Jobs(executor, pump=lambda: outbox.pump(writer), stopping=lambda: False),
                outbox=outbox,
                observer=observer or Silent(),
            )
            place = str(Path(folder).absolute())
            seconds = EXPORT_MEASURING_S + (0.0 if targets is None else TARGETS_S) if seconds is None else seconds
            exported = finisher.export(str(pick), output=place, seconds=seconds, key=key)
            outbox.drain(writer, until_s=10.0)
        return exported.folder

    def summary(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        row, totals, bundle = self.row, self.totals, self.bundle
        manifest = read_manifest(bundle) if bundle else None
        return {
            "study": self.name,
            "bundle": str(bundle) if bundle else None,
            "metric": self._context.facts.metric,
            "trials": {
                "complete": totals.complete,
                "pruned": totals.pruned,
                "infeasible": totals.infeasible,
                "failed": totals.failed,
            },
            "best": _best_of(manifest),
            "twin": _twin_of(manifest),
            "seconds": {"budget": row.budget.seconds, "spent": round(row.spent_s, 2)},
        }


def _measures(manifest: dict[str, Any], role: str) -> dict[str, Any]:
    artifact = next(a for a in manifest["artifacts"] if a["role"] == role)
    return {
        "trial": manifest["trial"],
        "valid": artifact["valid"]["value"],
        "test": artifact["test"]["value"] if artifact["test"] else None,
        "latency_ms": artifact["latency"]["batch_1"]["p50_ms"],
        "size_bytes": artifact["bytes"],
        "recipe": artifact["recipe"],
    }


def _best_of(manifest: dict[str, Any] | None) -> dict[str, Any] | None:
    """The artifact that `predict` uses."""
    return _measures(manifest, manifest["chosen"]) if manifest else None


def _twin_of(manifest: dict[str, Any] | None) -> dict[str, Any] | None:
    if manifest is None:
        return None
    reason = {"reason": manifest["twin_reason"]} if manifest["twin_reason"] else {}
    has_twin = any(a["role"] == "quantized" for a in manifest["artifacts"])
    return {**(_measures(manifest, "quantized") if has_twin else {}), **reason}
