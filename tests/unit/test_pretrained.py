"""Networks that begin with word vectors: words have theirs, frozen ones keep them, and the graph has them projected."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support_network import Reports, context, learned_scores
from support_texts import VOCABULARY, run_codes, topics

from autoopt.strategies.model import Trained, TrainingData
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.texts.embedding_bag import EmbeddingBag
from autoopt.strategies.networks.texts.text_cnn import TextCNN
from autoopt.strategies.networks.texts.text_network import TextNetwork
from autoopt.strategies.networks.texts.text_transformer import TextTransformer
from autoopt.strategies.prepared import Tokens
from autoopt.strategies.text.pretrained import Pretrained
from autoopt.task.facts import EmbeddingsFacts, Kind
from autoopt.values import Slot

DIMENSION = 24
NETWORKS: dict[str, TextNetwork] = {
    "bag": EmbeddingBag(width=16, ngrams=2, buckets=1000, epochs=2, word_dropout=0.1),
    "cnn": TextCNN(width=16, embedding=16, epochs=2),
    "transformer": TextTransformer(width=16, heads=2, depth=1, epochs=2),
}
TABLE = "words.embedding.weight"
RECIPE = {"batch_size": 32, "optimizer.learning_rate": 0.01, "optimizer.weight_decay": 0.1, "ema": True}
GIVEN = EmbeddingsFacts(name="glove.txt", sha256="0" * 64, dimension=DIMENSION, words=VOCABULARY - 4)

every_network = pytest.mark.parametrize("name", NETWORKS)


def vectors(dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Padding, the unknown and two words have none; the first number says whether a word is of the upper half."""
    table = np.random.default_rng(4).normal(scale=0.3, size=(VOCABULARY, dimension)).astype(np.float32)
    table[:, 0] = np.where(np.arange(VOCABULARY) >= VOCABULARY // 2, 1.0, -1.0)
    table[:4] = np.nan
    return table


def data_with(fixed: bool, dimension: int = DIMENSION, rows: int = 300) -> TrainingData[Tokens]:
    data = topics(Kind.BINARY, rows=rows)
    train, valid = (
        dataclasses.replace(part, vectors=vectors(dimension), fixed=fixed) for part in (data.train, data.valid)
    )
    return dataclasses.replace(data, train=train, valid=valid, facts=dataclasses.replace(data.facts, embeddings=GIVEN))


@cache
def trained(name: str, fixed: bool) -> Trained:
    return NETWORKS[name].train(data_with(fixed), context(RECIPE))


def weights_of(found: Trained) -> dict[str, NDArray[Any]]:
    assert isinstance(found.artifact, ExportedArtifact)
    return dict(found.artifact.weights)


@every_network
@pytest.mark.parametrize("fixed", [True, False], ids=["frozen", "tuned"])
def test_words_begin_with_their_vectors(name: str, fixed: bool) -> None:
    network = NETWORKS[name].build(data_with(fixed))
    table = network.state_dict()[TABLE].numpy()
    assert np.array_equal(table[4:], vectors()[4:])
    assert (table[0] == 0).all()
    assert (table[1:4] == 0).all() == fixed
    assert (TABLE in dict(network.named_parameters())) != fixed


@every_network
def test_frozen_vectors_stay_and_tuned_ones_move(name: str) -> None:
    frozen, tuned = weights_of(trained(name, True)), weights_of(trained(name, False))
    assert np.array_equal(frozen[TABLE][4:], vectors()[4:])
    assert not np.array_equal(tuned[TABLE][4:], vectors()[4:])
    assert (tuned[TABLE][0] == 0).all()


@every_network
@pytest.mark.parametrize("fixed", [True, False], ids=["frozen", "tuned"])
def test_the_graph_is_the_trained_network_with_its_words_projected(name: str, fixed: bool) -> None:
    data, found = data_with(fixed), trained(name, fixed)
    graph = found.artifact.graph()
    np.testing.assert_allclose(run_codes(graph, data.valid.codes), found.valid_scores, atol=1e-5)
    tables = {tuple(i.dims) for i in graph.graph.initializer if list(i.dims)[:1] == [VOCABULARY]}
    assert tables == {(VOCABULARY, 16)}
    assert found.notes[0] == f"{VOCABULARY - 4} of {VOCABULARY - 2} words have a vector of glove.txt"


def test_vectors_of_the_networks_width_need_no_projection() -> None:
    tuned, frozen = (NETWORKS["cnn"].build(data_with(fixed, 16)) for fixed in (False, True))
    assert tuned.words.projection is None
    assert frozen.words.projection is not None


@every_network
def test_without_vectors_nothing_is_as_it_was_not(name: str) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name].build(topics(Kind.BINARY, rows=30))
    assert network.words.projection is None
    assert network.words.embedding.weight.shape == (VOCABULARY, 16)


def test_vectors_that_know_the_topic_need_few_texts() -> None:
    def best(data: TrainingData[Tokens]) -> float:
        reports, few = Reports(), 40
        data = dataclasses.replace(data, train=data.train.first(few), train_target=data.train_target[:few])
        recipe = {"batch_size": 8, "optimizer.learning_rate": 0.01}
        model = EmbeddingBag(width=16, epochs=15, patience=15, dropout=0.0)
        learned_scores(model, data, context(recipe, reports=reports))
        return max(reports.column("valid"))

    assert best(data_with(fixed=True, rows=900)) > best(topics(Kind.BINARY, rows=900)) + 0.05


def test_pruned_networks_keep_frozen_vectors() -> None:
    pytest.importorskip("torch_pruning")
    model, data = NETWORKS["cnn"], data_with(fixed=True)
    settings = context({**RECIPE, "prune": "channels", "prune.share": 0.5, "prune.epochs": 1})
    found = model.shrink(model.train(data, settings).artifact, data, settings)
    weights = weights_of(found)
    assert np.array_equal(weights[TABLE][4:], vectors()[4:])
    assert weights["words.projection.weight"].shape[1] == DIMENSION
    assert weights["convolutions.0.weight"].shape[0] == 8
    np.testing.assert_allclose(run_codes(found.artifact.graph(), data.valid.codes), found.valid_scores, atol=1e-5)


def test_there_is_no_such_choice_without_a_file() -> None:
    facts = topics(Kind.BINARY, rows=30).facts
    given = dataclasses.replace(facts, embeddings=GIVEN)
    for form in ("frozen", "tuned"):
        assert "--embeddings FILE" in str(Pretrained.value_applies(form, facts, Slot(index=0)))
        assert Pretrained.value_applies(form, given, Slot(index=0)) is None
    assert Pretrained.value_applies("none", facts, Slot(index=0)) is None
