"""Signed bundles: whose key, over which bytes, and everything else refused before anything is loaded."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from support_bundle import Made, make_bundle, mixed_frame, seal_again
from support_cli import run_here

from autoopt.bundle import SigningKey, VerifyKey, check_bundle, load_bundle, write_bundle
from autoopt.errors import AutooptError, BundleError, OptionError

PEM = serialization.Encoding.PEM
PRIVATE, PUBLIC = serialization.PrivateFormat.PKCS8, serialization.PublicFormat.SubjectPublicKeyInfo
OPEN = serialization.NoEncryption()


def write_keys(folder: Path, name: str = "key") -> tuple[Path, Path]:
    """A new private and public key."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(PEM, PRIVATE, OPEN))
    public.write_bytes(key.public_key().public_bytes(PEM, PUBLIC))
    return private, public


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_bundle(tmp_path_factory.mktemp("made"), mixed_frame(160), "decision_tree", None)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def signed(made: Made, keys: tuple[Path, Path], tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "signed", made.contents, key=SigningKey.read(keys[0]))


def test_a_signed_bundle_loads_with_the_key_and_without(signed: Path, keys: tuple[Path, Path]) -> None:
    assert load_bundle(signed, verify_key=keys[1]).roles == ("float",)
    assert load_bundle(signed).roles == ("float",)
    names = [row.name for row in check_bundle(signed, seconds=0.05, verify_key=str(keys[1])).rows]
    assert names[:2] == ["hashes", "signature"]


def test_openssl_verifies_it_too(signed: Path, keys: tuple[Path, Path]) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin"]
    files = ["-in", str(signed / "manifest.json"), "-sigfile", str(signed / "manifest.sig")]
    assert subprocess.run([*words, *files], capture_output=True, check=False).returncode == 0


def test_a_forger_who_seals_the_manifest_again_is_found_out(signed: Path, keys: tuple[Path, Path]) -> None:
    seal_again(signed, study="another")
    assert load_bundle(signed).manifest["study"] == "another", "the hash alone tells of damage, not of forgery"
    with pytest.raises(BundleError, match=r"was not signed with the key of .* or was changed afterwards"):
        load_bundle(signed, verify_key=keys[1])


def test_another_ones_key_is_not_enough(signed: Path, tmp_path: Path) -> None:
    _, other = write_keys(tmp_path, "other")
    with pytest.raises(BundleError, match="was not signed with the key of"):
        load_bundle(signed, verify_key=other)


@pytest.mark.parametrize("signature", [None, b"", b"\x00" * 63, b"\x00" * 64, b"\x00" * 65, "link"])
def test_without_a_whole_signature_nothing_is_loaded(
    signature: bytes | str | None, signed: Path, keys: tuple[Path, Path]
) -> None:
    path = signed / "manifest.sig"
    whole = path.read_bytes()
    path.unlink()
    if signature == "link":
        (signed.parent / "elsewhere.sig").write_bytes(whole)
        path.symlink_to(signed.parent / "elsewhere.sig")
    elif isinstance(signature, bytes):
        path.write_bytes(signature)
    with pytest.raises(BundleError, match=r"Nothing was loaded|Export the bundle again"):
        load_bundle(signed, verify_key=keys[1])


def test_every_bit_of_the_signature_counts(signed: Path, keys: tuple[Path, Path]) -> None:
    path = signed / "manifest.sig"
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(changed))
        with pytest.raises(BundleError):
            load_bundle(signed, verify_key=keys[1])


def test_a_signed_bundle_is_replaced_like_any(signed: Path, made: Made, keys: tuple[Path, Path]) -> None:
    write_bundle(signed, made.contents)
    assert not (signed / "manifest.sig").exists()
    with pytest.raises(BundleError, match="is not signed"):
        load_bundle(signed, verify_key=keys[1])


def bad_keys(folder: Path) -> dict[str, Path]:
    """Files that are no key to sign with."""
    private, public = write_keys(folder)
    elliptic = ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PRIVATE, OPEN)
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        PEM, PRIVATE, serialization.BestAvailableEncryption(b"secret")
    )
    found = {"holds no private key": public, "cannot be read": folder / "absent.pem"}
    for told, content in {"holds a key of another kind": elliptic, "is protected by a passphrase": locked}.items():
        found[told] = folder / f"{len(found)}.pem"
        found[told].write_bytes(content)
    assert private.exists()
    return found


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    for told, path in bad_keys(tmp_path).items():
        with pytest.raises(OptionError, match=f"--sign .*{told}"):
            SigningKey.read(path)
    (tmp_path / "text.pem").write_text("not a key")
    for path in (tmp_path / "key.pem", tmp_path / "text.pem", tmp_path / "absent.pem", tmp_path):
        with pytest.raises(OptionError, match="--verify-key"):
            VerifyKey.read(path)


def test_the_command_line_refuses_in_one_line(signed: Path, tmp_path: Path) -> None:
    _, other = write_keys(tmp_path, "other")
    data = tmp_path / "new.csv"
    data.write_text("a\n1\n")
    for words in (["check", str(signed)], ["predict", str(signed), str(data)]):
        ran = run_here(*words, "--verify-key", str(other))
        assert ran.code == 2
        assert "Nothing was loaded" in ran.err
        assert ran.out == ""
    with pytest.raises(AutooptError):
        load_bundle(signed, verify_key=tmp_path)
