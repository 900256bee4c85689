"""What every model of n-gram counts promises, on every kind of task that it takes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from support_models import Reports, context, graph_error_of, run_feed
from support_text import counted, text_facts

from autoopt.errors import StageFailure
from autoopt.stages.join import join
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.model import SCORES, Model
from autoopt.strategies.text.ngram_bayes import NGramBayes
from autoopt.strategies.text.ngram_linear import NGramLinear
from autoopt.strategies.text.wide_linear import WideLinearArtifact
from autoopt.task.facts import Kind
from autoopt.task.scoring import score
from autoopt.values import Slot

MODELS: dict[str, Model] = {
    "ngram_linear": NGramLinear(),
    "ngram_linear-balanced": NGramLinear(class_weight="balanced"),
    "ngram_bayes": NGramBayes(),
}
CASES = [
    (name, kind)
    for name, model in MODELS.items()
    for kind in Kind
    if model.applies(text_facts(kind=kind), Slot(index=0)) is None
]

every_model = pytest.mark.parametrize("name", MODELS)
every_case = pytest.mark.parametrize("name,kind", CASES, ids=str)


@every_case
def test_graph_gives_what_the_trained_model_gives(name: str, kind: Kind) -> None:
    data, _ = counted(kind)
    reports = Reports()
    trained = MODELS[name].train(data, context(reports))
    assert not trained.notes
    assert trained.valid_scores.dtype == np.float64
    assert graph_error_of(trained, data.valid) < 1e-5
    steps = [step for step, _ in reports.seen]
    assert steps[0] == 0
    assert steps == sorted(steps)
    quality = score(data.facts.metric, data.facts, data.valid_target, trained.valid_scores)
    assert reports.seen[-1][1]["valid"] == quality
    if kind.classifies:
        assert np.allclose(trained.valid_scores.sum(axis=1), 1)
        assert quality > 0.9
    else:
        assert quality < 0.6 * float(np.std(data.valid_target))


@every_case
def test_int8_is_a_quarter_and_nearly_the_same(name: str, kind: Kind) -> None:
    data, _ = counted(kind)
    trained = MODELS[name].train(data, context())
    whole, small = (Quantize(form=form).apply(trained.artifact, None) for form in ("none", "weights_int8"))
    coefficients = trained.artifact.linear.coef.size  # type: ignore[attr-defined]
    assert whole.ByteSize() - small.ByteSize() > 3 * coefficients - 300
    feed = data.valid.model_feed(slice(None))
    scale = 1.0 if kind.classifies else float(np.std(data.valid_target))
    assert np.abs(run_feed(whole, feed) - run_feed(small, feed)).max() < 0.02 * scale
    with pytest.raises(StageFailure, match="does not fit"):
        Quantize(form="static_int8").apply(trained.artifact, None)


@every_case
def test_saved_and_loaded_gives_the_same_bytes(name: str, kind: Kind, tmp_path: Path) -> None:
    artifact = MODELS[name].train(counted(kind)[0], context()).artifact
    artifact.save(tmp_path)
    again = type(artifact).load(tmp_path)
    assert isinstance(artifact, WideLinearArtifact)
    assert isinstance(again, WideLinearArtifact)
    assert again.graph().SerializeToString() == artifact.graph().SerializeToString()
    assert again.int8_graph().SerializeToString() == artifact.int8_graph().SerializeToString()
    assert {p.suffix for p in tmp_path.iterdir()} <= {".safetensors", ".json"}


@every_case
def test_whole_graph_reads_texts_and_stays_quiet(name: str, kind: Kind, capfd: pytest.CaptureFixture[str]) -> None:
    data, counting = counted(kind)
    trained = MODELS[name].train(data, context())
    for form in ("none", "weights_int8"):
        joined = join(counting.graph, Quantize(form=form).apply(trained.artifact, None), {"autoopt.kind": str(kind)})
        assert {o.domain for o in joined.opset_import} >= {"", "com.microsoft", "ai.onnx.ml"}
        texts = np.array([["Goal", "the referee says"], ["", ""], ["<b>market</b>", "shares"]], dtype=object)
        scores = run_feed(joined, counting.splitter.feed(texts))
        assert scores.shape == (3, max(len(data.facts.classes), 1))
        assert np.isfinite(scores).all()
    assert [o.name for o in joined.graph.output] == [SCORES]
    assert capfd.readouterr() == ("", "")


@every_case
def test_same_again_whatever_the_threads(name: str, kind: Kind) -> None:
    data, _ = counted(kind)
    one, two = (MODELS[name].train(data, context(seed=s, threads=s)).artifact.graph() for s in (1, 2))
    assert one.SerializeToString() == two.SerializeToString()


@every_model
def test_a_class_that_train_does_not_hold(name: str) -> None:
    topic = np.arange(240) % 3
    target = np.where((topic == 2) & (np.arange(240) < 160), 0, topic)
    data, _ = counted(Kind.MULTICLASS, target=target)
    trained = MODELS[name].train(data, context())
    assert trained.valid_scores.shape == (80, 3)
    assert trained.valid_scores[:, 2].max() < 1e-6
    assert graph_error_of(trained, data.valid) < 1e-5


@every_model
def test_one_class_in_train_is_refused(name: str) -> None:
    data, _ = counted(Kind.BINARY)
    with pytest.raises(StageFailure, match="two classes in train"):
        MODELS[name].train(replace(data, train_target=np.zeros_like(data.train_target)), context())


@every_model
def test_cards_are_complete(name: str) -> None:
    declared = type(MODELS[name]).declarations()
    assert all(d.summary and d.stage == "train" and ("model", (d.strategy,)) in d.when for d in declared)
    assert all(d.domain.contains(d.default) for d in declared)
    for words in ("When it helps", "Cost", "issing texts", "Reference"):
        assert words in (type(MODELS[name]).__doc__ or "")


def test_naive_bayes_does_not_take_values() -> None:
    reason = NGramBayes.applies(text_facts(kind=Kind.REGRESSION), Slot(index=0))
    assert reason is not None
    assert "classes" in reason


def test_linear_is_scikit_learns() -> None:
    data, _ = counted(Kind.MULTICLASS)
    own = NGramLinear(C=2.0).train(data, context()).valid_scores
    theirs = LogisticRegression(C=2.0, tol=1e-8, max_iter=5000).fit(data.train.values.toarray(), data.train_target)
    assert np.allclose(own, theirs.predict_proba(data.valid.values.toarray()), atol=1e-2)
    data, _ = counted(Kind.REGRESSION)
    mean, unit = data.train_target.mean(), data.train_target.std()
    own = NGramLinear(C=2.0).train(data, context()).valid_scores[:, 0]
    ridge = Ridge(alpha=0.5).fit(data.train.values.toarray().astype(float), (data.train_target - mean) / unit)
    assert np.allclose(own, ridge.predict(data.valid.values.toarray().astype(float)) * unit + mean, rtol=1e-4)
