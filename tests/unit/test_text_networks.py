"""Networks over token numbers: padding says nothing, graphs are the trained network, and word order is seen by those
that can."""

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support_network import Reports, context, learned_scores, optimized_ops
from support_texts import LENGTH, VOCABULARY, negations, run_codes, texts, topics

from autoopt.errors import StageFailure
from autoopt.strategies.deploying.convolutions import loses_nothing
from autoopt.strategies.deploying.embeddings import int8_embeddings, quantized_columns
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.model import CODES, SCORES, Trained, TrainingData
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.texts.bag_module import ngram_buckets
from autoopt.strategies.networks.texts.embedding_bag import EmbeddingBag
from autoopt.strategies.networks.texts.text_cnn import TextCNN
from autoopt.strategies.networks.texts.text_network import TextNetwork
from autoopt.strategies.networks.texts.text_transformer import TextTransformer
from autoopt.strategies.networks.texts.unpadded import SHORT
from autoopt.strategies.networks.texts.words import UNKNOWN, Words
from autoopt.strategies.prepared import Counts, Tokens
from autoopt.task.facts import Kind

SMALL: dict[str, TextNetwork] = {
    "bag": EmbeddingBag(width=16),
    "bag-all": EmbeddingBag(width=16, depth=1, pooling="mean_max", ngrams=3, buckets=1000, word_dropout=0.1),
    "bag-max": EmbeddingBag(width=16, pooling="max", ngrams=2, buckets=1000),
    "cnn": TextCNN(width=16, embedding=16, widest=5, depth=1, word_dropout=0.1),
    "transformer": TextTransformer(width=16, heads=2, depth=2, word_dropout=0.1),
}
PARTS = ("train", "valid")
SEES_ORDER = ("bag-all", "cnn", "transformer")
RECIPE = {"batch_size": 32, "optimizer.learning_rate": 0.01}

FORMS = [(name, "static_int8") for name in SMALL]
FORMS += [(name, "dynamic_int8") for name, network in SMALL.items() if not network.convolves]

every_network = pytest.mark.parametrize("name", SMALL)


KINDS = [(name, Kind.BINARY) for name in SMALL]
KINDS += [(name, kind) for name in SEES_ORDER for kind in (Kind.MULTICLASS, Kind.REGRESSION)]


@cache
def learned(name: str) -> tuple[Trained, Reports]:
    """Two classes, and long enough to see that it learns; the tests of what comes of a training share it."""
    reports = Reports()
    network = dataclasses.replace(SMALL[name], epochs=12, patience=12)
    return network.train(topics(Kind.BINARY, rows=900), context(RECIPE, reports=reports)), reports


@cache
def trained(name: str, kind: Kind) -> tuple[TrainingData[Tokens], Trained]:
    """The data, and what was learned of them."""
    if kind is Kind.BINARY:
        return topics(kind, rows=900), learned(name)[0]
    data = topics(kind)
    return data, dataclasses.replace(SMALL[name], epochs=2).train(data, context(RECIPE))


def module_of(name: str) -> torch.nn.Module:
    """The network that `learned` left."""
    artifact = learned(name)[0].artifact
    assert isinstance(artifact, ExportedArtifact)
    built = SMALL[name].build(topics(Kind.BINARY, rows=900)).eval()
    built.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in artifact.weights.items()})
    return built


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
    graph = learned(name)[0].artifact.graph()
    found = run_codes(graph, np.zeros((3, LENGTH), np.int64))
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("name", "kind"), KINDS, ids=str)
def test_graph_is_the_trained_network(name: str, kind: Kind) -> None:
    data, found = trained(name, kind)
    graph = found.artifact.graph()
    scores = run_codes(graph, data.valid.codes)
    assert np.max(np.abs(scores - found.valid_scores) / np.maximum(np.abs(found.valid_scores), 1)) < 1e-5
    assert np.allclose(run_codes(graph, data.valid.codes[:1]), found.valid_scores[:1], rtol=1e-5, atol=1e-5)
    assert [value.name for value in graph.graph.input] == [CODES]
    assert [value.name for value in graph.graph.output] == [SCORES]
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param


@every_network
@pytest.mark.parametrize("longest", [0, 1, 3, LENGTH])
def test_graph_computes_nothing_for_padding(name: str, longest: int) -> None:
    codes = np.zeros((3, LENGTH), np.int64)
    codes[1, :longest] = 7
    graph = onnx.ModelProto()
    graph.CopyFrom(learned(name)[0].artifact.graph())
    graph.graph.output.append(onnx.helper.make_tensor_value_info(SHORT, onnx.TensorProto.INT64, None))
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    read, scores = session.run([SHORT, SCORES], {CODES: codes})
    assert read.shape == (3, max(longest, 1))
    assert np.array_equal(read, codes[:, : max(longest, 1)])
    with torch.inference_mode():
        of_padded = module_of(name)(torch.from_numpy(codes)).softmax(1).numpy()
    assert np.abs(scores - of_padded).max() < 1e-5


def test_texts_of_one_token_have_a_graph() -> None:
    data = topics(Kind.BINARY, rows=60)
    short = {part: dataclasses.replace(getattr(data, part), codes=getattr(data, part).codes[:, :1]) for part in PARTS}
    found = dataclasses.replace(SMALL["cnn"], epochs=1).train(dataclasses.replace(data, **short), context(RECIPE))
    scores = run_codes(found.artifact.graph(), short["valid"].codes)
    assert np.abs(scores - found.valid_scores).max() < 1e-5


@every_network
def test_it_learns_which_words_matter(name: str) -> None:
    _, reports = learned(name)
    assert max(reports.column("valid")) > (0.88 if name == "bag-max" else 0.93)  # ROC AUC; a maximum cannot count


@pytest.mark.parametrize("name", SEES_ORDER)
def test_it_learns_which_word_comes_first(name: str) -> None:
    reports = Reports()
    model = dataclasses.replace(SMALL[name], epochs=25, patience=25)
    learned_scores(model, negations(), context(RECIPE, reports=reports))
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
    artifact = learned(name)[0].artifact
    artifact.save(tmp_path)
    again = ExportedArtifact.load(tmp_path)
    assert again.graph().SerializeToString(deterministic=True) == artifact.graph().SerializeToString(deterministic=True)
    assert again.architecture["model"] == SMALL[name].name


@pytest.mark.parametrize("name", ["bag-all", "transformer"])
def test_same_seed_same_network(name: str) -> None:
    data, first = trained(name, Kind.MULTICLASS)
    again = learned_scores(dataclasses.replace(SMALL[name], epochs=2), data, context(RECIPE))
    assert np.array_equal(first.valid_scores, again)


@pytest.mark.parametrize("name,form", FORMS)
def test_int8_keeps_the_scores_and_takes_less_space(name: str, form: str) -> None:
    data, found = trained(name, Kind.BINARY)
    scores, graph = found.valid_scores, Quantize(form=form).apply(found.artifact, data.train)
    assert np.abs(run_codes(graph, data.valid.codes) - scores).max() < 0.05
    assert np.isfinite(run_codes(graph, np.zeros((2, LENGTH), np.int64))).all()
    tables = {i.name for i in graph.graph.initializer if i.data_type == onnx.TensorProto.FLOAT and len(i.dims) == 2}
    looked_up = {node.input[0] for node in graph.graph.node if node.op_type == "Gather"}
    large = [i.name for i in graph.graph.initializer if i.name in tables & looked_up and np.prod(i.dims) >= 4096]
    assert large == []
    matrices = {n.input[1] for n in found.artifact.graph().graph.node if n.op_type in ("Conv", "Gemm", "MatMul")}
    assert not {i.name for i in graph.graph.initializer if i.data_type == onnx.TensorProto.FLOAT} & matrices


def test_a_mask_is_multiplied_in_int8_and_loses_nothing(tmp_path: Path) -> None:
    data, found = trained("cnn", Kind.BINARY)
    assert len(loses_nothing(found.artifact.graph())) == len(SMALL["cnn"].build(data).convolutions)
    kernels = optimized_ops(Quantize(form="static_int8").apply(found.artifact, data.train), tmp_path)
    assert kernels["QLinearMul"] == kernels["QLinearConv"] > 0
    assert "Mul" not in kernels


@settings(deadline=None)
@given(rows=st.integers(2, 50), width=st.integers(1, 9), seed=st.integers(0, 99), size=st.floats(1e-6, 1e4))
def test_a_table_in_int8_is_off_by_half_a_step_at_most(rows: int, width: int, seed: int, size: float) -> None:
    table = (np.random.default_rng(seed).normal(size=(rows, width)) * size).astype(np.float32)
    table[0] = 0.0
    codes, scales = quantized_columns(table)
    assert codes.dtype == np.int8
    assert (codes[0] == 0).all()
    assert (np.abs(codes * scales - table) <= 0.501 * scales).all()


def test_a_table_that_is_used_otherwise_too_stays_as_it_is() -> None:
    nodes = [
        onnx.helper.make_node("Gather", ["table", CODES], ["rows"]),
        onnx.helper.make_node("ReduceSum", ["table"], ["sum"], keepdims=0),
        onnx.helper.make_node("Add", ["rows", "sum"], [SCORES]),
    ]
    table = onnx.numpy_helper.from_array(np.ones((100, 50), np.float32), "table")
    given_codes = onnx.helper.make_tensor_value_info(CODES, onnx.TensorProto.INT64, ["rows", 3])
    scores = onnx.helper.make_tensor_value_info(SCORES, onnx.TensorProto.FLOAT, ["rows", 3, 50])
    graph = onnx.helper.make_graph(nodes, "g", [given_codes], [scores], [table])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    assert int8_embeddings(model).SerializeToString() == model.SerializeToString()


@every_network
def test_what_is_not_tokens_is_refused(name: str) -> None:
    from scipy.sparse import csr_array

    data = topics(Kind.BINARY, rows=30)
    counts = Counts(values=csr_array(np.ones((20, 3), np.float32)))
    with pytest.raises(StageFailure, match="learns from token numbers"):
        SMALL[name].train(dataclasses.replace(data, train=counts), context(RECIPE))
