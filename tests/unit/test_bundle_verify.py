"""Nothing of a folder is loaded unless every byte of it is what was exported."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support_bundle import Made, make_bundle, mixed_frame, seal_again

from autoopt.bundle import load_bundle
from autoopt.bundle.verify import read_manifest
from autoopt.errors import BundleError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_bundle(tmp_path_factory.mktemp("made"), mixed_frame(160))


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    shutil.copytree(made.folder, tmp_path / "bundle")
    return tmp_path / "bundle"


def refused(folder: Path) -> str:
    """The message, which is one line and says what to do."""
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    told = str(caught.value)
    assert "\n" not in told
    assert any(word in told for word in ("xport", "Remove", "Move", "Give", "Nothing was loaded"))
    return told


def files_of(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_a_bundle_that_was_copied_is_whole(folder: Path) -> None:
    names = {str(p.relative_to(folder)) for p in files_of(folder)}
    assert {"manifest.json", "front.json", "model.onnx", "model.quantized.onnx", "MLmodel", "predict.py"} <= names
    assert any(name.startswith("weights/") for name in names)
    assert load_bundle(folder).roles == ("float", "quantized")


def test_a_link_to_a_whole_bundle_may_be_given(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(folder)
    assert load_bundle(tmp_path / "latest").roles == ("float", "quantized")


def test_any_file_with_another_bit_is_refused(folder: Path) -> None:
    for path in files_of(folder):
        whole = path.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            changed = bytearray(whole)
            changed[place] ^= 0x10
            path.write_bytes(changed)
            assert path.name in refused(folder)
        path.write_bytes(whole)
    load_bundle(folder)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b"", lambda b: b + b"\n"])
def test_any_file_of_another_length_is_refused(folder: Path, change: Callable[[bytes], bytes]) -> None:
    for path in files_of(folder):
        whole = path.read_bytes()
        path.write_bytes(change(whole))
        assert path.name in refused(folder)
        path.write_bytes(whole)


def test_every_byte_of_the_manifest_counts(folder: Path) -> None:
    path = folder / "manifest.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        for bit in (0x01, 0x20):
            changed = bytearray(whole)
            changed[place] ^= bit
            path.write_bytes(changed)
            with pytest.raises(BundleError):
                read_manifest(folder)


def test_any_missing_file_is_refused(folder: Path) -> None:
    for path in files_of(folder):
        path.rename(folder.parent / "away")
        assert path.name in refused(folder)
        (folder.parent / "away").rename(path)


@pytest.mark.parametrize(
    "name, told",
    [("extra.txt", "extra.txt"), ("weights/more.bin", "weights/more.bin"), ("new/model.onnx", "new/"), (".h", ".h")],
)
def test_a_file_that_is_not_listed_is_refused(folder: Path, name: str, told: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    assert repr(told) in refused(folder)


def test_links_are_refused_whatever_they_point_at(folder: Path, tmp_path: Path) -> None:
    graph, away = folder / "model.onnx", tmp_path / "same.onnx"
    graph.rename(away)
    graph.symlink_to(away)
    assert "is a link" in refused(folder)
    graph.unlink()
    os.link(away, graph)
    assert "is a link" in refused(folder)
    graph.unlink()
    shutil.copyfile(away, graph)
    load_bundle(folder)


def test_folders_and_manifests_that_are_links_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "weights").rename(tmp_path / "weights")
    (folder / "weights").symlink_to(tmp_path / "weights")
    assert "is a link" in refused(folder)
    (folder / "weights").unlink()
    (tmp_path / "weights").rename(folder / "weights")
    (folder / "manifest.json").rename(tmp_path / "manifest.json")
    (folder / "manifest.json").symlink_to(tmp_path / "manifest.json")
    assert "manifest.json" in refused(folder)


def test_pipes_and_folders_in_a_files_place_are_refused(folder: Path) -> None:
    (folder / "recipe.yaml").unlink()
    os.mkfifo(folder / "recipe.yaml")
    assert "recipe.yaml" in refused(folder)
    (folder / "recipe.yaml").unlink()
    (folder / "recipe.yaml").mkdir()
    assert "recipe.yaml" in refused(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "weights/../../secret", "..\\secret", "", ".", "a\0b"])
def test_a_manifest_that_climbs_is_refused_even_when_its_hash_holds(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_text("x")
    files = json.loads((folder / "manifest.json").read_text())["files"]
    seal_again(folder, files={**files, name: {"bytes": 1, "sha256": "0" * 64}})
    refused(folder)


HOSTILE: list[dict[str, Any]] = [
    {"files": []},
    {"files": {"model.onnx": 3}},
    {"files": None},
    {"artifacts": {}},
    {"artifacts": []},
    {"artifacts": [{"role": "float"}]},
    {"artifacts": 7},
    {"chosen": "other"},
    {"chosen": ["float"]},
    {"twin_reason": None},
    {"environment": "linux"},
    {"schema_version": 2},
    {"schema_version": None},
]


@pytest.mark.parametrize("change", HOSTILE, ids=str)
def test_a_forged_manifest_is_refused_or_says_nothing_wrong(folder: Path, change: dict[str, Any]) -> None:
    seal_again(folder, **change)
    refused(folder)


def test_an_artifact_must_be_the_file_that_it_names(folder: Path) -> None:
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    for change in ({"path": "model.quantized.onnx"}, {"path": "../x"}, {"sha256": "0" * 64}, {"role": "quantized"}):
        seal_again(folder, artifacts=[{**artifacts[0], **change}, artifacts[1]])
        refused(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema_version": 1}'])
def test_what_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    assert "manifest.json" in refused(folder) or "schema version" in refused(folder)


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    assert "no folder" in refused(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    assert "no folder" in refused(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "no manifest.json" in refused(tmp_path / "empty")
