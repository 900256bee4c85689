"""A bundle is written whole or not at all, and replaces nothing but a bundle."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from support_bundle import Made, make_bundle, mixed_frame

from autoopt.bundle import BundleContents, check_target, load_bundle, swap, write_bundle
from autoopt.errors import BundleError, OptionError
from autoopt.space.recipe import Recipe


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_bundle(tmp_path_factory.mktemp("made"), mixed_frame(160))


def beside(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.parent.iterdir() if p != folder)


def refusal(folder: Path) -> str:
    with pytest.raises(OptionError) as caught:
        check_target(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def picked(made: Made, pick: str) -> BundleContents:
    return replace(made.contents, pick=pick)


def test_the_manifest_says_what_was_measured(made: Made) -> None:
    manifest, verified = load_bundle(made.folder).manifest, made.contents.verified
    assert verified.twin is not None
    by_role = {a["role"]: a for a in manifest["artifacts"]}
    for role, artifact in (("float", verified.float_artifact), ("quantized", verified.twin)):
        assert artifact.test is not None
        assert by_role[role]["bytes"] == (made.folder / by_role[role]["path"]).stat().st_size
        assert by_role[role]["valid"]["value"] == artifact.valid.value
        assert by_role[role]["test"]["low"] == artifact.test.low
        assert by_role[role]["latency"]["batch_256"]["p95_ms"] == artifact.latency["batch_256"]["p95_ms"]
        assert by_role[role]["parity"]["holds"]
    assert manifest["data"] == {
        "name": made.facts.name,
        "fingerprint": made.facts.fingerprint,
        "rows": dict(made.facts.rows),
        "split": made.facts.split,
        "seed": made.facts.seed,
    }
    assert manifest["baseline"] == dict(verified.baseline)
    assert manifest["test_looks"] == 2


def test_what_each_artifact_was_made_of_is_there_and_named(made: Made, tmp_path: Path) -> None:
    by_role = {a["role"]: a["weights"] for a in load_bundle(made.folder).manifest["artifacts"]}
    assert by_role["quantized"] == by_role["float"] == sorted(f"weights/{n}" for n in made.contents.verified.weights)
    own = {name: str(tmp_path / name) for name in ("network.safetensors", "trained.json")}
    for name, path in own.items():
        Path(path).write_text(name)
    verified = replace(made.contents.verified, twin_weights=own)
    folder = write_bundle(tmp_path / "bundle", replace(made.contents, verified=verified))
    again = {a["role"]: a["weights"] for a in load_bundle(folder).manifest["artifacts"]}
    assert again["float"] == by_role["float"]
    assert again["quantized"] == ["weights/quantized.network.safetensors", "weights/quantized.trained.json"]
    assert all((folder / "weights" / f"quantized.{name}").read_text() == name for name in own)
    assert all((folder / path).is_file() for path in again["float"])


def test_the_recipe_can_be_read_back(made: Made) -> None:
    text = (made.folder / "recipe.yaml").read_text()
    assert Recipe.from_yaml(text) == Recipe(made.contents.trial.recipe)
    assert text.startswith("#")


def test_no_file_holds_a_pickle(made: Made) -> None:
    for path in made.folder.rglob("*"):
        if path.is_file():
            assert path.suffix not in (".pkl", ".pickle", ".joblib", ".pt", ".pth")
            assert not path.read_bytes().startswith((b"\x80\x04", b"\x80\x05", b"PK"))


def test_a_new_bundle_takes_the_place_of_an_older_one(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er" / "bundle"
    write_bundle(folder, picked(made, "best"))
    write_bundle(folder, picked(made, "smallest"))
    assert load_bundle(folder).manifest["pick"] == "smallest"
    assert beside(folder) == []


def test_an_empty_folder_is_filled(made: Made, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    write_bundle(tmp_path / "bundle", made.contents)
    assert load_bundle(tmp_path / "bundle").roles
    assert beside(tmp_path / "bundle") == []


def test_a_bundle_can_be_read_by_others_as_the_umask_allows(made: Made, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_bundle(tmp_path / "bundle", made.contents)
    finally:
        os.umask(before)
    assert (tmp_path / "bundle").stat().st_mode & 0o777 == 0o755


def test_without_an_exchange_of_names_it_is_replaced_too(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "_system_call", lambda: None)
    for pick in ("best", "fastest"):
        write_bundle(tmp_path / "bundle", picked(made, pick))
    assert load_bundle(tmp_path / "bundle").manifest["pick"] == "fastest"
    assert beside(tmp_path / "bundle") == []


def test_a_damaged_bundle_may_be_replaced(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_bundle(folder, made.contents)
    manifest = (folder / "manifest.json").read_bytes()
    (folder / "model.onnx").write_bytes(b"damaged")
    write_bundle(folder, made.contents)
    (folder / "manifest.json").write_bytes(manifest[:-100])
    write_bundle(folder, made.contents)
    assert load_bundle(folder).roles


def test_a_folder_with_other_things_is_left_alone(made: Made, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("x")
    assert "'thesis.tex'" in refusal(tmp_path / "work")
    (tmp_path / "work" / "manifest.json").write_text('{"name": "a web application"}')
    assert "other things" in refusal(tmp_path / "work")
    (tmp_path / "work" / "thesis.tex").unlink()
    assert "other things" in refusal(tmp_path / "work")


def test_a_pipe_in_the_manifests_place_is_not_waited_at(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    os.mkfifo(tmp_path / "work" / "manifest.json")
    assert "other things" in refusal(tmp_path / "work")


def test_a_bundle_with_something_of_the_users_in_it_is_left_alone(made: Made, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", made.contents)
    (folder / "predictions.csv").write_text("prediction\n")
    assert "'predictions.csv'" in refusal(folder)
    with pytest.raises(OptionError):
        write_bundle(folder, made.contents)
    assert (folder / "predictions.csv").is_file()
    (folder / "manifest.json").write_bytes(b'{"schema_version": 1')
    assert "'predictions.csv'" in refusal(folder)


def test_files_links_and_the_current_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    assert "no folder" in refusal(tmp_path / "file")
    assert "is a file" in refusal(tmp_path / "file" / "bundle")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert "no folder" in refusal(tmp_path / "link")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert "no folder" in refusal(tmp_path / "broken")
    monkeypatch.chdir(tmp_path / "empty")
    assert "you are in" in refusal(Path())
    assert "you are in" in refusal(tmp_path)
    assert "you are in" in refusal(Path("/"))


def test_checking_a_target_writes_nothing(tmp_path: Path) -> None:
    check_target(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_changed_since_it_was_verified_is_not_exported(made: Made, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", picked(made, "best"))
    twin = made.contents.verified.twin
    assert twin is not None
    exchanged = replace(made.contents.verified.float_artifact, file=twin.file)
    wrong = replace(made.contents, verified=replace(made.contents.verified, float_artifact=exchanged))
    with pytest.raises(BundleError, match="no longer the float graph"):
        write_bundle(folder, wrong)
    assert load_bundle(folder).manifest["pick"] == "best"
    assert beside(folder) == []


def test_a_write_that_fails_leaves_the_older_bundle(made: Made, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", picked(made, "best"))
    lost = replace(made.contents.verified, weights={"model.safetensors": str(tmp_path / "gone")})
    with pytest.raises(OptionError, match="No such file"):
        write_bundle(folder, replace(made.contents, pick="fastest", verified=lost))
    assert load_bundle(folder).manifest["pick"] == "best"
    assert beside(folder) == []


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(made: Made, tmp_path: Path) -> None:
    dead, alive = (tmp_path / f".bundle.{c * 12}.new" for c in "ab")
    others = [tmp_path / name for name in (".bundle.xyz.new", "bundle.aaaaaaaaaaaa.new", ".other.aaaaaaaaaaaa.old")]
    for folder in (dead, alive, *others):
        folder.mkdir()
        (folder / "part").write_text("x")
    held = swap.hold(alive)
    try:
        write_bundle(tmp_path / "bundle", made.contents)
    finally:
        os.close(held)
    assert beside(tmp_path / "bundle") == sorted(p.name for p in (alive, *others))
