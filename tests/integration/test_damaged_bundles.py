"""Bundles damaged and forged in hundreds of ways: refused with one message, nothing run, nothing written.

The ways are listed in support_damage and support_forgeries; each test goes through a group of them and tells all that
were not refused as they must be.
"""

import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from support_bundle import make_bundle, mixed_frame, seal_again
from support_cli import run_here
from support_damage import FILES, SCRIPT, Damage, Watch, extra_damages, file_damages, fresh_copy, manifest_damages, put
from support_forgeries import fronts, graphs, samples

from autoopt.bundle import SigningKey, check_bundle, load_bundle
from autoopt.errors import AutooptError, BundleError

ALL = [*(d for name in FILES for d in file_damages(name)), *extra_damages(), *manifest_damages()]
LONGEST = 900
"""Characters of a message: paths are long here, and a name may take 200."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_bundle(tmp_path_factory.mktemp("made"), mixed_frame(160), "decision_tree", "compact")
    shutil.copytree(made.folder, made.folder.parent / "whole" / "bundle")  # apart from what made it
    mixed_frame(20).drop(columns="label").to_csv(made.folder.parent / "whole" / "new.csv", index=False)
    return made.folder.parent / "whole" / "bundle"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "case"


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def complaint(load: Callable[[], object], named: Iterable[str]) -> str:
    """What is wrong with how something was refused; '' where nothing is."""
    try:
        load()
    except AutooptError as error:
        told = str(error)
        if "\n" in told or len(told) > LONGEST:
            return f"not one short message: {told[:LONGEST]}"
        return "" if any(name in told for name in named) else f"names none of {tuple(named)}: {told}"
    except Exception as error:  # noqa: BLE001  # every kind is told, and fails the test
        return f"a fault: {error!r}"
    return "not refused"


def complaints(whole: Path, place: Path, watch: Watch, damages: Iterable[Damage]) -> dict[str, str]:
    found = {}
    for damage in damages:
        folder = fresh_copy(whole, place)
        damage.do(folder)
        with watch.over(folder):
            told = complaint(lambda: load_bundle(folder), damage.named)  # noqa: B023  # called at once
        if told:
            found[damage.name] = told
    return found


def test_there_are_enough_cases_and_the_bundle_has_these_files(whole: Path) -> None:
    assert sorted(str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file()) == sorted(FILES)
    assert len({damage.name for damage in ALL}) == len(ALL) >= 500
    assert load_bundle(whole).roles == ("float", "quantized")


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_refused_in_every_damaged_form(whole: Path, place: Path, watch: Watch, name: str) -> None:
    assert complaints(whole, place, watch, file_damages(name)) == {}


def test_what_does_not_belong_there_is_refused(whole: Path, place: Path, watch: Watch) -> None:
    assert complaints(whole, place, watch, extra_damages()) == {}


def test_manifests_made_to_deceive_are_refused(whole: Path, place: Path, watch: Watch) -> None:
    assert complaints(whole, place, watch, manifest_damages()) == {}


def test_fronts_with_right_hashes_are_refused_when_they_say_nonsense(whole: Path, place: Path, watch: Watch) -> None:
    found = {}
    for name, content in fronts(json.loads((whole / "front.json").read_bytes())):
        folder = fresh_copy(whole, place)
        put(folder, "front.json", content)
        with watch.over(folder):
            found[name] = complaint(lambda: load_bundle(folder), ["front.json"])  # noqa: B023
    assert {name: told for name, told in found.items() if told} == {}


def checked(folder: Path) -> None:
    """Raises BundleError for a bundle that is not sound, too."""
    found = check_bundle(folder, seconds=0.01)
    if not found.holds:
        raise BundleError(f"{folder / 'sample.json'} is no proof")


def test_samples_with_right_hashes_are_no_proof(whole: Path, place: Path, watch: Watch) -> None:
    found = {}
    for name, content in samples(json.loads((whole / "sample.json").read_bytes())):
        folder = fresh_copy(whole, place)
        put(folder, "sample.json", content)
        with watch.over(folder):
            found[name] = complaint(lambda: checked(folder), ["sample.json"])  # noqa: B023
            found[f"bench, {name}"] = refusal("bench", str(folder), "--time", "0.1s", named="")
    assert {name: told for name, told in found.items() if told} == {}


def test_graphs_with_right_hashes_predict_nothing(whole: Path, place: Path, watch: Watch) -> None:
    found = {}
    for name, content in graphs((whole / "model.onnx").read_bytes()):
        folder = fresh_copy(whole, place)
        put(folder, "model.onnx", content)
        with watch.over(folder):
            found[name] = refusal("predict", str(folder), str(whole.parent / "new.csv"), named="graph")
            checked = check_bundle(folder, seconds=0.01)
        if checked.holds or next(row for row in checked.rows if row.name == "parity of float").holds:
            found[name] += "; check finds nothing"
    assert {name: told for name, told in found.items() if told} == {}


def refusal(*words: str, named: str) -> str:
    """What is wrong with how a command refused; '' where nothing is."""
    ran = run_here(*words)
    lines = ran.err.splitlines()
    if ran.code == 0 or ran.out:
        return f"code {ran.code}, {ran.out[:200]}"
    if len(lines) > 2 or ran.err.count("error:") != 1 or "Traceback" in ran.err or "fault of its own" in ran.err:
        return f"not one message: {ran.err[:LONGEST]}"
    return "" if named in ran.err else f"does not name {named}: {ran.err}"


def test_commands_refuse_in_one_message(whole: Path, place: Path, watch: Watch) -> None:
    """A sample of all: of three commands, one in turn for each case."""
    data, found = str(whole.parent / "new.csv"), {}
    for turn, damage in enumerate(ALL[::17]):
        folder = fresh_copy(whole, place)
        damage.do(folder)
        words = (["predict", str(folder), data], ["check", str(folder)], ["bench", str(folder), "--time", "0.1s"])
        with watch.over(folder):
            found[damage.name] = refusal(*words[turn % 3], named="")
    assert {name: told for name, told in found.items() if told} == {}


def test_what_a_terminal_would_obey_is_shown_and_not_sent(whole: Path, place: Path) -> None:
    folder = fresh_copy(whole, place)
    seal_again(
        folder,
        twin_reason="\x1b[2J\x9b31m",
        artifacts=json.loads((folder / "manifest.json").read_text())["artifacts"][:1],
    )
    ran = run_here("predict", str(folder), "new.csv", "--artifact", "quantized")
    assert ran.code == 2
    assert r"\x1b[2J\x9b31m" in ran.err
    folder = fresh_copy(whole, place)
    seal_again(folder, environment={"libraries": {"numpy": "[/bold] \x1b[2J"}, "cpu": "[link=x]"})
    ran = run_here("check", str(folder))
    assert ran.code == 0
    assert "[/bold] \\x1b[2J" in " ".join(ran.out.split())
    assert "\x1b[2J" not in ran.out


def test_claims_of_size_take_no_memory(whole: Path, place: Path) -> None:
    """Sparse files and numbers that promise terabytes."""
    wanted = ("terabyte", "size", "1 << 50", "a link to a device", "many files", "lists in each other")
    for damage in (d for d in ALL if any(word in d.name for word in wanted)):
        folder = fresh_copy(whole, place)
        damage.do(folder)
        tracemalloc.start()
        with pytest.raises(BundleError):
            load_bundle(folder)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 32e6, damage.name


def test_a_listed_file_of_a_terabyte_is_not_read(whole: Path, place: Path) -> None:
    folder = fresh_copy(whole, place)
    with (folder / "model.onnx").open("r+b") as file:
        file.truncate(1 << 40)
    manifest = json.loads((folder / "manifest.json").read_text())
    facts = {"bytes": 1 << 40, "sha256": "0" * 64}
    artifacts = [{**a, **(facts if a["role"] == "float" else {})} for a in manifest["artifacts"]]
    seal_again(folder, files={**manifest["files"], "model.onnx": facts}, artifacts=artifacts)
    with pytest.raises(BundleError, match=r"model\.onnx is larger than what can be loaded"):
        load_bundle(folder)


def test_names_that_no_folder_can_have_are_refused(whole: Path) -> None:
    for name in ("x" * 5000, "a\0b", "a/" * 3000, str(whole / "model.onnx" / "x")):
        with pytest.raises(BundleError, match="is no folder"):
            load_bundle(name)


# ---- Forgeries against a signature ---------------------------------------------------------------------------------


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    key = ed25519.Ed25519PrivateKey.generate()
    pem, open_form = serialization.Encoding.PEM, serialization.NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, open_form))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def sign(folder: Path, private: Path) -> None:
    manifest = (folder / "manifest.json").read_bytes()
    (folder / "manifest.sig").write_bytes(SigningKey.read(private).signature(manifest))


def _signature(change: Callable[[bytes], bytes]) -> Callable[[Path, Path], object]:
    def do(folder: Path, _: Path) -> None:
        path = folder / "manifest.sig"
        path.write_bytes(change(path.read_bytes()))

    return do


def _sealed_and(signs: bool, **changes: object) -> Callable[[Path, Path], object]:
    def do(folder: Path, attacker: Path) -> None:
        seal_again(folder, **changes)
        if signs:
            sign(folder, attacker)

    return do


def _exchanged(signs: bool) -> Callable[[Path, Path], object]:
    def do(folder: Path, attacker: Path) -> None:
        put(folder, "predict.py", SCRIPT)
        if signs:
            sign(folder, attacker)

    return do


def _link(folder: Path, _: Path) -> None:
    (folder / "manifest.sig").rename(folder.parent / "away")
    (folder / "manifest.sig").symlink_to(folder.parent / "away")


def _second_name(folder: Path, _: Path) -> None:
    (folder.parent / "away").hardlink_to(folder / "manifest.sig")


def _in_a_folder(folder: Path, _: Path) -> None:
    (folder / "manifest.sig").unlink()
    (folder / "manifest.sig").mkdir()


FORGED: dict[str, Callable[[Path, Path], object]] = {
    "stripped": lambda folder, _: (folder / "manifest.sig").unlink(),
    "by another key": sign,
    "of an older manifest": _sealed_and(signs=False, study="other"),
    "sealed and signed by another key": _sealed_and(signs=True, study="other"),
    "a script exchanged": _exchanged(signs=False),
    "a script exchanged and signed by another key": _exchanged(signs=True),
    "a manifest of another version": _sealed_and(signs=True, schema_version=2),
    "a manifest that is none": lambda folder, _: (folder / "manifest.json").write_bytes(b"[" * 100_000),
    "of the manifest's hash": lambda folder, _: (folder / "manifest.sig").write_bytes(b"0" * 64),
    "emptied": _signature(lambda s: b""),
    "a byte": _signature(lambda s: s[:1]),
    "half": _signature(lambda s: s[:32]),
    "a byte short": _signature(lambda s: s[:-1]),
    "a byte longer": _signature(lambda s: s + b"\0"),
    "with a line end": _signature(lambda s: s + b"\n"),
    "twice": _signature(lambda s: s * 2),
    "as text": _signature(lambda s: s.hex().encode()),
    "zeros": _signature(lambda s: bytes(64)),
    "ones": _signature(lambda s: b"\xff" * 64),
    "halves swapped": _signature(lambda s: s[32:] + s[:32]),
    "a first bit flipped": _signature(lambda s: bytes([s[0] ^ 1]) + s[1:]),
    "a middle bit flipped": _signature(lambda s: s[:32] + bytes([s[32] ^ 1]) + s[33:]),
    "a last bit flipped": _signature(lambda s: s[:-1] + bytes([s[-1] ^ 0x80])),
    "a link": _link,
    "a second name": _second_name,
    "a folder": _in_a_folder,
}


def test_forgeries_are_refused_naming_the_signature(whole: Path, place: Path, watch: Watch, tmp_path: Path) -> None:
    own, attacker = write_keys(tmp_path, "own"), write_keys(tmp_path, "attacker")
    data, found = str(whole.parent / "new.csv"), {}
    for turn, (name, forge) in enumerate(FORGED.items()):
        folder = fresh_copy(whole, place)
        sign(folder, own[0])
        load_bundle(folder, verify_key=own[1])
        forge(folder, attacker[0])
        with watch.over(folder):
            found[name] = complaint(lambda: load_bundle(folder, verify_key=own[1]), ["sign", "manifest.sig"])  # noqa: B023
            words = (["check", str(folder)], ["predict", str(folder), data])[turn % 2]
            found[f"{words[0]}: {name}"] = refusal(*words, "--verify-key", str(own[1]), named="")
    assert {name: told for name, told in found.items() if told} == {}
