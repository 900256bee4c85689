"""Networks over token numbers: padding says nothing, graphs are the trained network, and word order is seen by those
that can."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support_network import Reports, context
from support_texts import LENGTH, VOCABULARY, negations, run_codes, texts, topics

from autoopt.errors import StageFailure
from autoopt.strategies.deploying.quantize import dynamic_int8
from autoopt.strategies.model import CODES, SCORES, Trained
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.texts.bag_module import ngram_buckets
from autoopt.strategies.networks.texts.embedding_bag import EmbeddingBag
from autoopt.strategies.networks.texts.text_cnn import TextCNN
from autoopt.strategies.networks.texts.text_network import TextNetwork
from autoopt.strategies.networks.texts.text_transformer import TextTransformer
from autoopt.strategies.networks.texts.words import UNKNOWN, Words
from autoopt.strategies.prepared import Counts
from autoopt.task.facts import Kind

SMALL: dict[str, TextNetwork] = {
    "bag": EmbeddingBag(width=16),
    "bag-all": EmbeddingBag(width=16, depth=1, pooling="mean_max", ngrams=3, buckets=1000, word_dropout=0.1),
    "bag-max": EmbeddingBag(width=16, pooling="max", ngrams=2, buckets=1000),
    "cnn": TextCNN(width=16, embedding=16, widest=5, depth=1, word_dropout=0.1),
    "transformer": TextTransformer(width=16, heads=2, depth=2, word_dropout=0.1),
}
SEES_ORDER = ("bag-all", "cnn", "transformer")
RECIPE = {"batch_size": 32, "optimizer.learning_rate": 0.01}

every_network = pytest.mark.parametrize("name", SMALL)


def trained(name: str, kind: Kind, **fields: object) -> Trained:
    network = dataclasses.replace(SMALL[name], **{"epochs": 2, **fields})  # type: ignore[arg-type]
    return network.train(topics(kind), context(RECIPE))


def module(name: str, length: int = LENGTH) -> torch.nn.Module:
    data = topics(Kind.MULTICLASS, rows=30)
    wide = np.pad(data.train.codes, ((0, 0), (0, length - LENGTH)))
    torch.manual_seed(0)
    built = SMALL[name].build(dataclasses.replace(data, train=dataclasses.replace(data.train, codes=wide)))
    return built.eval()


@every_network
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), extra=st.integers(1, 9), rows=st.integers(1, 20))
def test_padding_never_changes_the_scores_of_a_row(name: str, seed: int, extra: int, rows: int) -> None:
    network, codes = module(name, LENGTH + 9), torch.from_numpy(texts(rows, seed))
    with torch.inference_mode():
        plain = network(codes)
        padded = network(torch.nn.functional.pad(codes, (0, extra)))
        shortest = network(codes[:, : int((codes != 0).sum(1).max())])
    assert torch.allclose(plain, padded, atol=1e-5)
    assert torch.allclose(plain, shortest, atol=1e-5)


@every_network
def test_other_rows_of_a_batch_change_nothing(name: str) -> None:
    network, codes = module(name), torch.from_numpy(texts(9, 1))
    with torch.inference_mode():
        together, alone = network(codes), torch.cat([network(row[None]) for row in codes])
    assert torch.allclose(together, alone, atol=1e-5)


@every_network
def test_texts_without_a_token_have_finite_scores_and_gradients(name: str) -> None:
    network = module(name).train()
    codes = torch.from_numpy(texts(6, 1))
    codes[::2] = 0
    scores = network(codes)
    scores.square().sum().backward()
    assert torch.isfinite(scores).all()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    graph = trained(name, Kind.BINARY, epochs=1).artifact.graph()
    found = run_codes(graph, np.zeros((3, LENGTH), np.int64))
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)


@every_network
@pytest.mark.parametrize("kind", list(Kind), ids=str)
def test_graph_is_the_trained_network(name: str, kind: Kind) -> None:
    data, found = topics(kind), trained(name, kind)
    graph = found.artifact.graph()
    scores = run_codes(graph, data.valid.codes)
    assert np.max(np.abs(scores - found.valid_scores) / np.maximum(np.abs(found.valid_scores), 1)) < 1e-5
    assert np.allclose(run_codes(graph, data.valid.codes[:1]), found.valid_scores[:1], rtol=1e-5, atol=1e-5)
    assert [value.name for value in graph.graph.input] == [CODES]
    assert [value.name for value in graph.graph.output] == [SCORES]
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param


@every_network
def test_it_learns_which_words_matter(name: str) -> None:
    data, reports = topics(Kind.BINARY, rows=900), Reports()
    dataclasses.replace(SMALL[name], epochs=12, patience=12).train(data, context(RECIPE, reports=reports))
    assert max(reports.column("valid")) > (0.88 if name == "bag-max" else 0.93)  # ROC AUC; a maximum cannot count


@pytest.mark.parametrize("name", SEES_ORDER)
def test_it_learns_which_word_comes_first(name: str) -> None:
    reports = Reports()
    dataclasses.replace(SMALL[name], epochs=25, patience=25).train(negations(), context(RECIPE, reports=reports))
    assert max(reports.column("valid")) > 0.9


def test_a_bag_of_single_tokens_sees_no_order() -> None:
    network, codes = module("bag"), torch.from_numpy(texts(8, 2)[:, :2])
    assert torch.allclose(network(codes), network(codes.flip(1)), atol=1e-6)
    network = module("bag-max")
    assert not torch.allclose(network(codes), network(codes.flip(1)), atol=1e-4)


def test_ngrams_are_those_within_the_text() -> None:
    codes = torch.tensor([[5, 6, 7, 0, 0], [5, 6, 0, 0, 0], [5, 0, 0, 0, 0]])
    pairs, triples = ngram_buckets(codes, 2, 1000), ngram_buckets(codes, 3, 1000)
    assert (pairs > 0).sum(1).tolist() == [2, 1, 0]
    assert (triples > 0).sum(1).tolist() == [1, 0, 0]
    assert pairs[0, 0] == pairs[1, 0] != pairs[0, 1]
    assert int(ngram_buckets(torch.full((1, 3), 10**6), 3, 500_000).max()) <= 500_000


def test_a_share_of_the_words_is_unknown_while_it_learns() -> None:
    words = Words(VOCABULARY, 4, word_dropout=0.3)
    codes = torch.from_numpy(texts(2000, 1))
    torch.manual_seed(0)
    out = words.dropped(codes)
    changed = out != codes
    assert (out[changed] == UNKNOWN).all()
    assert (codes[changed] != 0).all()
    assert float(changed.sum()) / float((codes != 0).sum()) == pytest.approx(0.3, abs=0.02)
    assert torch.equal(words.eval().dropped(codes), codes)


def test_a_parallel_convolution_for_each_width() -> None:
    network = TextCNN(width=24, widest=5).build(topics(Kind.BINARY, rows=30))
    assert [layer.kernel_size for layer in network.convolutions] == [(2,), (3,), (4,), (5,)]
    assert {layer.out_channels for layer in network.convolutions} == {24}


@every_network
def test_saved_and_loaded_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    artifact = trained(name, Kind.BINARY, epochs=1).artifact
    artifact.save(tmp_path)
    again = ExportedArtifact.load(tmp_path)
    assert again.graph().SerializeToString(deterministic=True) == artifact.graph().SerializeToString(deterministic=True)
    assert again.architecture["model"] == SMALL[name].name


@pytest.mark.parametrize("name", ["bag-all", "transformer"])
def test_same_seed_same_network(name: str) -> None:
    first, second = (trained(name, Kind.MULTICLASS) for _ in range(2))
    assert np.array_equal(first.valid_scores, second.valid_scores)


@every_network
def test_int8_keeps_the_scores(name: str) -> None:
    data, found = topics(Kind.BINARY), trained(name, Kind.BINARY)
    scores = run_codes(dynamic_int8(found.artifact.graph()), data.valid.codes)
    assert np.abs(scores - found.valid_scores).max() < 0.05


@every_network
def test_what_is_not_tokens_is_refused(name: str) -> None:
    from scipy.sparse import csr_array

    data = topics(Kind.BINARY, rows=30)
    counts = Counts(values=csr_array(np.ones((20, 3), np.float32)))
    with pytest.raises(StageFailure, match="learns from token numbers"):
        SMALL[name].train(dataclasses.replace(data, train=counts), context(RECIPE))
