"""Who made a bundle: an Ed25519 signature over the bytes of its manifest, which holds the hash of every other file.

`manifest.sig` is the plain signature, 64 bytes, so that other tools verify it too:
`openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in manifest.json -sigfile manifest.sig`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Self, final

from autoopt.errors import BundleError, OptionError
from autoopt.files import user_path

if TYPE_CHECKING:  # few bundles are signed: the others do without the library
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.sig"
SIGNATURE_BYTES = 64
_MAX_KEY_BYTES = 100_000
_MAKE = "openssl genpkey -algorithm ed25519 -out key.pem"
_MAKE_PUBLIC = "openssl pkey -in key.pem -pubout -out public.pem"


@final
class SigningKey:
    """A private key, read from a PEM file."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Raises OptionError for a file that is no Ed25519 private key, or one behind a passphrase."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        content = _content("--sign", path)
        try:
            key = load_pem_private_key(content, password=None)
        except TypeError as error:
            what = f"--sign {str(path)!r} is protected by a passphrase."
            raise OptionError(what, f"Give a key without one: {_MAKE}") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise OptionError(f"--sign {str(path)!r} holds no private key.", f"Make one: {_MAKE}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise OptionError(f"--sign {str(path)!r} holds a key of another kind.", f"Make an Ed25519 one: {_MAKE}")
        return cls(key)

    def signature(self, manifest: bytes) -> bytes:
        """Of the manifest's bytes."""
        found: bytes = self._key.sign(manifest)
        return found


@final
class VerifyKey:
    """A public key, read from a PEM file."""

    def __init__(self, key: "Ed25519PublicKey", name: str) -> None:
        self._key = key
        self.name = name

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Raises OptionError for a file that is no Ed25519 public key."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        content = _content("--verify-key", path)
        try:
            key = load_pem_public_key(content)
        except (ValueError, UnsupportedAlgorithm) as error:
            mend = f"Make it of the private one: {_MAKE_PUBLIC}"
            raise OptionError(f"--verify-key {str(path)!r} holds no public key.", mend) from error
        if not isinstance(key, Ed25519PublicKey):
            mend = "Ask for the Ed25519 key that the bundle was signed with."
            raise OptionError(f"--verify-key {str(path)!r} holds a key of another kind.", mend)
        return cls(key, str(path))

    def check(self, folder: Path, manifest: bytes, signature: bytes | None) -> None:
        """Raises BundleError unless the signature is this key's, over these bytes; None where there is no signature."""
        from cryptography.exceptions import InvalidSignature

        if signature is None:
            raise BundleError(f"{folder} is not signed. Nothing was loaded; ask for one that `export --sign` wrote.")
        try:
            self._key.verify(signature, manifest)
        except InvalidSignature as error:
            what = f"{folder} was not signed with the key of {self.name}, or was changed afterwards"
            raise BundleError(f"{what}. Nothing was loaded; ask its maker for the bundle, or for the key.") from error


def _content(option: str, path: str | Path) -> bytes:
    """Of a key's file. Raises OptionError."""
    try:
        with user_path(path).open("rb") as file:
            content = file.read(_MAX_KEY_BYTES + 1)
    except OSError as error:
        mend = "Give the path of a PEM file."
        raise OptionError(f"{option} {str(path)!r} cannot be read: {error.strerror}.", mend) from error
    return content[:_MAX_KEY_BYTES]
