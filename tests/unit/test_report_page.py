"""The page: whole HTML, nothing from outside unescaped, nothing invented, no network."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from support_bundle import study_row, trial_row

from autoopt.report import FormLine, StudyView, render_report
from autoopt.stages.contract import VerifiedArtifact, VerifyResult
from autoopt.task.facts import ColumnFacts, Kind, Modality, Role, TaskFacts, TensorFacts
from autoopt.values import Limit, Measurement, TrialState, parse_objectives

EVIL = '<script>alert("1")</script>\'&<img src=x onerror=alert(1)>'
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that every tag is closed where it should be, and keeps what matters."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text += data


def facts(**changes: Any) -> TaskFacts:
    columns = (
        ColumnFacts(name="age", role=Role.NUMBER, used=True, missing=3, distinct=40),
        ColumnFacts(name="id", role=Role.IDENTIFIER, used=False, distinct=100, note="every row has its own value"),
        ColumnFacts(name="label", role=Role.TARGET, used=False, distinct=2),
    )
    found = TaskFacts(
        name="people.csv",
        modality=Modality.TABULAR,
        kind=Kind.BINARY,
        metric="roc_auc",
        metric_direction="maximize",
        target="label",
        classes=("no", "yes"),
        numeric_classes=False,
        columns=columns,
        rows={"train": 70, "valid": 15, "test": 15},
        fingerprint="f" * 64,
        warnings=("There are few rows.",),
        split="by a hash of each row",
    )
    return replace(found, **changes)


def artifact(role: str, **changes: Any) -> VerifiedArtifact:
    shrink = 1.0 if role == "float" else 0.25
    found = VerifiedArtifact(
        role=role,
        artifact_key="",
        file="model.onnx",
        sha256="0" * 64,
        size_bytes=int(80_000 * shrink),
        recipe={},
        valid=Measurement(value=0.93, low=0.91, high=0.95),
        test=Measurement(value=0.9123, low=0.8911, high=0.9311),
        latency={
            "batch_1": {"p50_ms": 0.08 * shrink, "p95_ms": 0.1},
            "batch_256": {"p50_ms": 2.0, "p95_ms": 2.5},
            "threads": 1,
        },
        parity={"rows": 15, "label_agreement": 1.0},
    )
    return replace(found, **changes)


def verified(**changes: Any) -> VerifyResult:
    found = VerifyResult(
        float_artifact=artifact("float"),
        twin=artifact("quantized"),
        twin_reason="",
        baseline={"valid": 0.5, "test": 0.5},
    )
    return replace(found, **changes)


def view(**changes: Any) -> StudyView:
    trials = (
        trial_row(0, 0.90, 0.02, 3_000),
        trial_row(1, 0.93, 0.08, 80_000, recipe={"model": "mlp", "quantize": "static_int8", "mlp.depth": 2}),
        trial_row(2, 0.95, 3.0, 9e6, state=TrialState.INFEASIBLE, reason="limit", message="latency_ms<=1 broken: 3"),
        trial_row(3, None, state=TrialState.FAILED, reason="not_finite", message="the loss became NaN at step 7"),
        trial_row(4, None, state=TrialState.FAILED, reason="not_finite", message="the loss became NaN at step 12"),
    )
    found = StudyView(
        study=study_row(),
        facts=facts(),
        objectives=parse_objectives(("quality", "latency_ms", "size_bytes"), "maximize"),
        limits=(Limit.parse("latency_ms<=1"),),
        trials=trials,
        front=trials[1::-1],
        best=trials[1],
        verified=verified(),
        test_looks=2,
        environment={"cpu": "Z80", "python": "3.11", "libraries": {"numpy": "2.4"}},
    )
    return replace(found, **changes)


def form_line(number: int, form: str, verdict: str, **changes: Any) -> FormLine:
    figures = {"quality": "0.9300", "drop": "0.1 %", "latency": "0.02 ms", "batch": "2.0 ms", "size": "20 kB"}
    return FormLine(**{"number": number, "form": form, "verdict": verdict, "exported": False, **figures, **changes})


TRIED = (
    {"form": {"quantize": "static_int8"}, "valid": 0.71, "latency_ms": 0.0312, "bytes": 21_000, "reason": "it loses."},
    {"form": {"quantize": "fp16"}, "reason": ""},
)


def headline(text: str) -> list[str]:
    return re.findall(r'<p class="value">(.*?)</p>', text)


def test_the_headline_is_that_of_the_artifact_that_predicts() -> None:
    assert headline(render_report(view())) == ["0.9123", "0.0200 ms", "20 kB", "0.5000"]
    assert headline(render_report(view(chosen="float"))) == ["0.9123", "0.0800 ms", "80 kB", "0.5000"]
    assert "95 % interval 0.8911–0.9311" in render_report(view())


def test_everything_asked_for_is_on_the_page() -> None:
    text = Page(render_report(view())).text
    for told in (
        "people.csv",
        "roc_auc",
        "5 trials: 2 complete, 1 infeasible, 2 failed",
        "The trade",
        "limit 1 ms",
        "the loss became NaN at step 7",
        "latency_ms<=1 broken: 3",
        "every row has its own value",
        "There are few rows.",
        "2 times, once for each exported artifact",
        "4.00× faster",
        "4.00× smaller",
        "mlp.depth: 2",
        "Z80",
    ):
        assert told in text, told


def test_the_forms_of_what_came_trained_stand_in_for_the_front() -> None:
    forms = (
        form_line(0, "float", "as it came"),
        form_line(1, "static_int8", "exported", exported=True),
        form_line(3, "compact", "the loss became NaN at step 7"),
    )
    text = render_report(view(forms=forms, spared="3 forms were not tried: static_int8 lost 0.1 %"))
    page = Page(text)
    assert "3 forms were not tried: static_int8 lost 0.1 %." in page.text
    assert "trial 1 (static_int8)" in page.text
    assert all(line.drop in page.text and line.batch in page.text for line in forms)
    assert re.findall(r'<span class="tag">(.*?)</span>', text) == ["exported"]
    assert page.text.count("the loss became NaN at step 7") == 1
    assert not {"The front", "The search", "What each model reached", "Not usable"} & set(
        re.findall("<h2>(.*?)<", text)
    )


def test_what_was_tried_as_the_twin_is_a_table_with_why_it_fell() -> None:
    twin = artifact("quantized", recipe={"model": "mlp", "quantize": "fp16"}, serving={})
    text = render_report(view(verified=verified(twin=twin, tried=TRIED, twin_compared="1.8 times smaller")))
    page = Page(text)
    section = page.text[page.text.index("What was tried as the twin") :]
    for told in ("static_int8", "0.7100", "0.0312 ms", "21 kB", "it loses.", "taken as the twin"):
        assert told in section, told
    assert "its quantized twin (fp16)" in page.text
    assert "Beyond the noise, the twin is: 1.8 times smaller." in page.text
    held = render_report(view(verified=verified(tried=TRIED[1:])))
    assert "What was tried as the twin" not in held, "the pair says all of it"


def test_failures_of_one_kind_are_one_line() -> None:
    text = render_report(view())
    assert text.count("the loss became NaN") == 1
    assert "linear (2)" in text


def test_it_needs_no_network_and_runs_only_its_own_script() -> None:
    text = render_report(view())
    page = Page(text)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not {"src", "href", "srcset", "action"} & {name for name, _ in page.attributes}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", text)
    assert len(page.scripts) == 1
    policy = next(v for n, v in page.attributes if n == "content" and v and v.startswith("default-src 'none'"))
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def evil_view() -> StudyView:
    trial = trial_row(0, 0.9, 0.1, 10.0, recipe={"model": EVIL, "x": EVIL}, source=EVIL)  # type: ignore[arg-type]
    failed = trial_row(1, None, state=TrialState.FAILED, reason="error", message=EVIL, recipe={"model": EVIL})
    column = ColumnFacts(name=EVIL, role=Role.TEXT, used=False, note=EVIL)
    evil_form = {"form": {"quantize": EVIL}, "reason": EVIL}
    evil = facts(name=EVIL, target=EVIL, classes=(EVIL, "b"), columns=(column,), warnings=(EVIL,), split=EVIL)
    return view(
        study=study_row(name=EVIL, spec={"seed": EVIL, "space": {"source": EVIL}}, created_at=EVIL),
        facts=replace(evil, metric=EVIL, fingerprint=EVIL, rows={EVIL: 3}),
        trials=(trial, failed),
        front=(trial,),
        best=trial,
        verified=verified(twin_reason=EVIL, twin_compared=EVIL, notes=(EVIL,), tried=(evil_form,)),
        missed=EVIL,
        forms=(form_line(0, EVIL, EVIL),),
        spared=EVIL,
        environment={"cpu": EVIL, "libraries": {EVIL: EVIL}},
    )


def test_all_that_comes_from_outside_is_escaped() -> None:
    page = Page(render_report(evil_view()))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.text.count(EVIL) > 15


def test_a_study_that_has_just_begun() -> None:
    text = render_report(view(trials=(), front=(), best=None, verified=None, test_looks=0, environment={}))
    page = Page(text)
    assert "No trial of this study has finished" in page.text
    assert "No trial has ended yet" in page.text
    assert headline(text) == []
    assert "<svg" not in text
    assert "never" in page.text


def test_a_study_in_which_everything_failed() -> None:
    failed = tuple(trial_row(n, None, state=TrialState.FAILED, reason="crashed", message="gone") for n in range(3))
    text = render_report(view(trials=failed, front=(), best=None, verified=None))
    assert "crashed: gone" in Page(text).text
    assert headline(text) == []


def test_a_study_that_exported_nothing_shows_what_was_searched() -> None:
    text = render_report(view(verified=None))
    assert headline(text) == ["0.9300", "0.0800 ms", "80 kB"]
    assert "as measured during the search" in text
    assert "No export of it was found" in text
    assert "The pair" not in text


def test_figures_that_are_missing_are_not_made_up() -> None:
    bare = verified(
        float_artifact=artifact("float", valid=Measurement(value=0.9), test=None), twin=None, twin_reason="None fits.",
        baseline={},
    )  # fmt: skip
    text = render_report(view(verified=bare))
    page = Page(text)
    assert headline(text) == ["0.9000", "0.0800 ms", "80 kB"]
    assert "interval" not in page.text
    assert "baseline" not in page.text
    assert page.text.count("None fits.") == 1
    assert "nan" not in text.lower().replace("became nan", "")


def test_the_baseline_of_valid_stands_in_for_that_of_test() -> None:
    text = render_report(view(verified=verified(baseline={"valid": 0.4321})))
    assert headline(text)[-1] == "0.4321"
    assert "valid roc_auc</p><p" in re.sub(r"\s*\n\s*", "", text)


def test_a_nearest_miss_is_said_to_be_one() -> None:
    miss = view().trials[2]
    text = Page(render_report(view(best=miss, front=(), missed="latency_ms<=1 (measured 3)"))).text
    assert "Limits are broken." in text
    assert "latency_ms<=1 (measured 3)" in text
    assert "latency_ms<=1 broken: 3" in Page(render_report(view(best=miss, verified=None))).text


def test_regression_has_no_classes_and_less_is_better() -> None:
    plain = facts(kind=Kind.REGRESSION, classes=(), metric="rmse", metric_direction="minimize")
    parity = {"rows": 15, "label_agreement": None}
    pair = verified(float_artifact=artifact("float", parity=parity), twin=artifact("quantized", parity={}))
    text = Page(render_report(view(facts=plain, verified=pair))).text
    assert "regression, 100 rows" in text
    assert "classes" not in text


def test_a_long_study_shows_its_newest_trials_and_the_front() -> None:
    trials = tuple(trial_row(n, 0.5 + n % 100 / 1000, 0.1 + n % 7, 1000.0 + n) for n in range(2500))
    text = render_report(view(trials=trials, front=trials[:1], best=trials[0]))
    page = Page(text)
    assert "499 older ones are not shown" in page.text
    assert '<td class="n" data-key="0">0</td>' in text
    assert '<td class="n" data-key="2499">2499</td>' in text
    assert len(text) < 3_000_000


@pytest.mark.parametrize("quality", [0.0, -3.5, 1e9, 1e-9])
def test_qualities_of_any_size_are_drawn(quality: float) -> None:
    trial = trial_row(0, quality, 0.1, 10.0)
    page = Page(render_report(view(trials=(trial,), front=(trial,), best=trial, verified=None)))
    assert page.tags.count("circle") >= 3


def test_the_same_study_gives_the_same_page() -> None:
    assert render_report(view()) == render_report(view())


@pytest.mark.parametrize(
    "modality, tensor, words",
    [
        (Modality.IMAGES, TensorFacts(name="image", dtype="uint8", shape=(32, 48, 3)), "kept at 32 × 48 pixels"),
        (Modality.MODULE, TensorFacts(name="x", dtype="float32", shape=(7,)), "rows of x float32 7"),
    ],
)
def test_images_and_arrays_have_no_columns(modality: Modality, tensor: TensorFacts, words: str) -> None:
    page = Page(render_report(view(facts=facts(modality=modality, columns=(), tensors=(tensor,)))))
    assert page.text.count(words) == 2
    assert "columns" not in page.text
    assert ("70 images" in page.text) == (modality is Modality.IMAGES)


def test_images_are_in_the_page_itself() -> None:
    uri = "data:image/png;base64,iVBORw0KGgo="
    text = render_report(view(images={EVIL: (uri, uri), "dog": (uri,)}))
    page = Page(text)
    assert [v for k, v in page.attributes if k == "src"] == [uri] * 3
    assert "img-src data:" in text
    assert EVIL not in text
    assert "img-src" not in render_report(view())
