"""A study as it lies in the ledger, with everything parsed that its spec holds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autoopt.app.options import Places
from autoopt.errors import StudyError
from autoopt.files import Home
from autoopt.ledger import Ledger, StudyRow
from autoopt.space import Space, space_from_json
from autoopt.task.facts import TaskFacts
from autoopt.values import Budget, Limit, Objective, parse_limits, parse_objectives


@dataclass(frozen=True, kw_only=True)
class StudyContext:
    """What the request of a stored study means."""

    home: Home
    places: Places
    study: StudyRow
    facts: TaskFacts
    space: Space
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    seed: int
    slots: int | None
    memory_bytes: int | None  # what trials may take together
    tolerance: float
    inline: bool
    pick: str  # what is exported at a session's end
    targets: tuple[str, ...] | None = None  # runtimes that an export may choose; None: those that are installed
    usual_forms_s: float | None = None  # it was to end with the portfolio, and after so many seconds

    @property
    def snapshot(self) -> str:
        return str(self.home.snapshot(self.facts.fingerprint))

    @property
    def usual_alone(self) -> bool:
        """Whether it still is to end with the portfolio: its budget was not added to."""
        asked = Budget(seconds=self.usual_forms_s, trials=len(self.space.portfolio))
        return self.usual_forms_s is not None and self.study.budget == asked

    def to_run_by(self, targets: tuple[str, ...] | None) -> "StudyContext":
        """The same with other runtimes to choose among; None: as the study was made."""
        return self if targets is None else replace(self, targets=targets)

    @classmethod
    def load(cls, ledger: Ledger, name: str, places: Places) -> "StudyContext":
        """Read and parse a study's spec. Raises StudyNotFound, StudyError."""
        study = ledger.study(name)
        spec: Mapping[str, Any] = study.spec
        if spec.get("version") != 1:
            raise StudyError(f"Study {name!r} was made by another version of autoopt (spec {spec.get('version')}).")
        facts = TaskFacts.from_json(spec["facts"])
        home = Home.locate(places.home)
        if not home.snapshot(facts.fingerprint).is_dir():
            raise StudyError(
                f"The data of study {name!r} are not in {home.root}: no tasks/{facts.fingerprint[:12]}... there. "
                "Give the home folder that the study was searched in with --home."
            )
        return cls(
            home=home,
            places=places,
            study=study,
            facts=facts,
            space=space_from_json(spec["space"]),
            objectives=parse_objectives(spec["objectives"], facts.metric_direction),
            limits=parse_limits(spec["limits"]),
            seed=int(spec["seed"]),
            slots=spec["slots"],
            memory_bytes=spec.get("memory_bytes"),  # older studies have none
            tolerance=float(spec["tolerance"]),
            inline=bool(spec["inline"]),
            pick=str(spec.get("pick", "best")),  # older studies have none
            targets=None if spec.get("targets") is None else tuple(spec["targets"]),
            usual_forms_s=spec.get("usual_forms_s"),
        )
