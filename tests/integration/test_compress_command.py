"""`autoopt compress` as its user meets it: a graph and rows in, a drop-in replacement out; resumed like any study."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from support_brought import graph, rows, write_graph, write_rows
from support_cli import end_soon, run_here

from autoopt.bundle import load_bundle

X = rows()


def compress(folder: Path, *words: str) -> tuple[int, str, str]:
    ran = run_here("compress", *words, "--home", str(folder / "home"), "--inline")
    return ran.code, ran.out, ran.err


def test_a_graph_is_compressed_resumed_and_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end_soon(monkeypatch)
    model = write_graph(tmp_path / "model.onnx", graph(hidden=256))
    data = write_rows(tmp_path / "rows.npz", X=X)
    small, home = tmp_path / "small", str(tmp_path / "home")
    code, out, err = compress(tmp_path, str(model), "--data", str(data), "--trials", "2", "-o", str(small))
    assert code == 0, err
    assert "agreement with the graph itself" in out
    assert "static_int8" in out
    assert "as it came" in out
    assert (small / "model.onnx").read_bytes() == model.read_bytes()
    ran = run_here("resume", "model", "--trials", "1", "-o", str(small), "--home", home, "--json")
    assert ran.code == 0, ran.err
    assert ran.last_json["trials"]["complete"] >= 3
    bundle = load_bundle(small)
    front = json.loads((small / "front.json").read_text())
    assert front["outputs"]["scores"] == "probabilities"
    assert bundle.manifest["raw_form"] == "module"
    names = {"label", "probabilities"}
    for artifact in bundle.manifest["artifacts"]:
        assert {o.name for o in onnx.load(small / artifact["path"]).graph.output} == names
    expected = bundle.predict({"X": X}, artifact="float")
    assert np.array_equal(expected["prediction"], bundle.scores({"X": X}, artifact="float").argmax(axis=1))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("model.csv", "--data", "rows.npz"), "no ONNX file by its name"),
        (("model.onnx",), "No rows were given"),
        (("model.onnx", "--data", "rows.npz", "--limit", "quality_drop<=-1%"), "better than the float model"),
        (("model.onnx", "--data", "rows.npz", "--metric", "rmse"), "does not fit"),
        (("model.onnx", "--data", "rows.npz", "--normalize", "imagenet"), "is for images"),
        (("model.onnx", "--data", "rows.npz", "--set", "quantize=compact"), "it has no trees"),
    ],
)
def test_what_cannot_be_done_is_one_message(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    write_graph(tmp_path / "model.onnx")
    write_rows(tmp_path / "rows.npz", X=X)
    here = [str(tmp_path / w) if w in ("model.onnx", "rows.npz") else w for w in words]
    code, _, err = compress(tmp_path, *here)
    assert code == 2
    assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / "home").exists()


def test_search_sends_a_graph_to_compress(tmp_path: Path) -> None:
    ran = run_here("search", str(write_graph(tmp_path / "model.onnx")), "--home", str(tmp_path / "home"))
    assert ran.code == 2
    assert "is a trained graph, and `search` learns from data" in ran.err
    assert "autoopt compress" in ran.err
