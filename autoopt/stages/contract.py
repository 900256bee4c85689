"""What goes into a worker and what comes out of it, as JSON: the only things the orchestrator and the stages share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

from autoopt.values import Measurement

EVALUATE_ENTRY = "autoopt.stages.worker:evaluate"
REMEASURE_ENTRY = "autoopt.stages.worker:remeasure"
VERIFY_ENTRY = "autoopt.stages.worker:verify"
SELECT_ENTRY = "autoopt.stages.worker:select"
SERVE_ENTRY = "autoopt.stages.worker:serve"

AUGMENTED: Final = "augmented.png"
"""A picture beside a training on images, and in its bundle: some of them, and what augmentation made of them."""


class Reporter(Protocol):
    """What an entry point tells its progress by; the executors' has the same shape."""

    def __call__(self, stage: str, *, step: int | None = None, values: Mapping[str, float] | None = None) -> None: ...


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """Take one recipe through prepare → train → deploy → measure."""

    snapshot: str  # folder of the task's snapshot
    store: str  # folder of the content-addressed store
    recipe: Mapping[str, Any]
    seed: int  # the study's: training seeds derive from it and the stage's key, so a cached model is the same model
    limits: tuple[str, ...] = ()
    quiet: bool = False  # no other slot is at work: latencies are final, not provisional
    reference_quiet_ms: float | None = None  # latency of the reference graph on the quiet machine, if known
    attempt: int = 0
    teacher_key: str = ""  # deploy stage's key of the trial that teaches; '' when the recipe has no teacher
    training_limit_s: float | None = None  # how long a training may plan to take; None: as long as its recipe says
    training_least_share: float = 0.0  # of its epochs that must fit into that, else it is given up (no_time)
    gang: Mapping[str, Any] | None = None  # this process's Rank, as the executor fills it in; None: it trains alone
    member_teachers: tuple[str, ...] = ()  # of an ensemble: each member's teacher_key, in the recipe's order

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """One stage of an evaluation: whether it was a hit, and what it cost."""

    name: str
    key: str
    hit: bool
    seconds: float
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class EvaluateResult:
    """What an evaluation measured. `infeasible` names the limit that was found broken before training."""

    measures: Mapping[str, Measurement]
    infeasible: str = ""
    artifact_key: str = ""  # deploy stage's key in the store; '' when infeasible before training
    artifact_sha256: str = ""
    stages: tuple[StageRun, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "measures": {name: m.to_json() for name, m in self.measures.items()},
            "infeasible": self.infeasible,
            "artifact_key": self.artifact_key,
            "artifact_sha256": self.artifact_sha256,
            "stages": [s.to_json() for s in self.stages],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "EvaluateResult":
        return cls(
            measures={name: Measurement.from_json(m) for name, m in raw["measures"].items()},
            infeasible=raw["infeasible"],
            artifact_key=raw["artifact_key"],
            artifact_sha256=raw["artifact_sha256"],
            stages=tuple(StageRun(**s) for s in raw["stages"]),
            notes=tuple(raw["notes"]),
        )


@dataclass(frozen=True, kw_only=True)
class RemeasureJob:
    """Measure artifacts again, interleaved, with every slot idle, for about `seconds`."""

    snapshot: str
    store: str
    artifact_keys: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


# Result of a RemeasureJob: {artifact key: {measure name: Measurement.to_json()}, ...,
#   "reference": {"latency_ms": Measurement.to_json()}}


@dataclass(frozen=True, kw_only=True)
class SelectJob:
    """Choose an ensemble's members among finished trials, by their predictions on valid."""

    snapshot: str
    store: str
    candidates: tuple[tuple[int, str], ...]  # (trial's number, deploy stage's key), in the order of numbers
    most_members: tuple[int, ...]  # how many different ones at most: a selection for each
    seed: int
    shares: tuple[tuple[float, ...], ...] = ()  # of each limit, that a candidate takes: members' must not exceed 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SelectResult:
    """What was chosen: {trial's number: weight} for each `most_members`, the same one twice left out.

    `reason` says why none of them is worth building; '' when they are. Qualities are the metric's, on valid; the gain
    is what choosing so wins on rows that the members were not chosen by, positive where it is better.
    """

    selections: tuple[Mapping[int, int], ...]
    reason: str
    single: float
    together: float
    gain: float
    spread: float

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "selections": [[list(pair) for pair in s.items()] for s in self.selections]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "SelectResult":
        return cls(**{**raw, "selections": tuple({int(n): int(w) for n, w in s} for s in raw["selections"])})


@dataclass(frozen=True, kw_only=True)
class VerifyJob:
    """Build (or load) the float and the quantized artifact of a pick, check both, and score them on the test split."""

    snapshot: str
    store: str
    float_recipe: Mapping[str, Any]
    twin_recipe: Mapping[str, Any] | None
    seed: int
    tolerance: float  # relative loss of quality that a twin may have
    seconds: float  # about how long all of it may take; measuring gets what building and scoring leave of it
    look_at_test: bool = True
    keeps_twin: bool = False  # the twin is exported whatever is found out; else its test score waits for the judgement
    teacher_key: str = ""  # as EvaluateJob's
    member_teachers: tuple[str, ...] = ()  # as EvaluateJob's

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class VerifiedArtifact:
    """One artifact, reloaded, compared with the trained pipeline and measured."""

    role: str  # "float" or "quantized"
    artifact_key: str
    file: str  # absolute path of the graph in the store
    sha256: str
    size_bytes: int
    recipe: Mapping[str, Any]
    valid: Measurement  # low and high: bootstrap interval, 95 %
    test: Measurement | None
    latency: Mapping[
        str, Any
    ]  # {"batch_1": {"p50_ms", "p95_ms", "low_ms", "high_ms"}, "batch_256": {...}, "threads": 1}
    parity: Mapping[str, Any]  # {"rows", "max_abs_difference", "label_agreement", "tolerance", "holds"}
    serving: Mapping[str, Any] = field(default_factory=dict)  # runtime.Fastest as JSON; empty: nothing was tried

    def to_json(self) -> dict[str, Any]:
        raw = {**asdict(self), "valid": self.valid.to_json()}
        return {**raw, "test": self.test.to_json() if self.test else None}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "VerifiedArtifact":
        test = Measurement.from_json(raw["test"]) if raw["test"] else None
        return cls(**{**raw, "valid": Measurement.from_json(raw["valid"]), "test": test})


@dataclass(frozen=True, kw_only=True)
class ServeJob:
    """Find out how the artifacts of an export run fastest, with every slot idle, for about `seconds`."""

    snapshot: str
    graphs: Mapping[str, str]  # path by role, the one that matters most first
    exact: tuple[str, ...]  # roles whose scores another runtime must give too; of the others, the quality
    runtimes: tuple[str, ...]  # that may be chosen
    tolerance: float  # as VerifyJob's
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """Both artifacts of an export, and what the trained model leaves for retraining."""

    float_artifact: VerifiedArtifact
    twin: VerifiedArtifact | None
    twin_reason: str  # why there is no twin, or what is wrong with it; '' when it is as promised
    twin_compared: str = ""  # the twin beside the float artifact, in words with figures
    weights: Mapping[str, str] = field(default_factory=dict)  # name in the bundle → absolute path in the store
    twin_weights: Mapping[str, str] = field(default_factory=dict)  # the same of a twin that is made of others
    sample: Mapping[str, Any] = field(
        default_factory=dict
    )  # {"columns": {name: [values]}, "float": [[...]], "quantized": [[...]]}
    tried: tuple[
        Mapping[str, Any], ...
    ] = ()  # every form that was built as the twin: {"form", "valid", "bytes", "latency_ms", "reason"}
    baseline: Mapping[str, float] = field(default_factory=dict)  # a guess that knows no features: {"valid", "test"}
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "float_artifact": self.float_artifact.to_json(),
            "twin": self.twin.to_json() if self.twin else None,
            "twin_reason": self.twin_reason,
            "twin_compared": self.twin_compared,
            "weights": dict(self.weights),
            "twin_weights": dict(self.twin_weights),
            "sample": dict(self.sample),
            "tried": [dict(attempt) for attempt in self.tried],
            "baseline": dict(self.baseline),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "VerifyResult":
        return cls(
            float_artifact=VerifiedArtifact.from_json(raw["float_artifact"]),
            twin=VerifiedArtifact.from_json(raw["twin"]) if raw["twin"] else None,
            twin_reason=raw["twin_reason"],
            twin_compared=raw["twin_compared"],
            weights=raw["weights"],
            twin_weights=raw["twin_weights"],
            sample=raw["sample"],
            tried=tuple(raw["tried"]),
            baseline=raw["baseline"],
            notes=tuple(raw["notes"]),
        )
