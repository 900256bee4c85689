"""The manifest's own hash: it covers every byte, so that a damaged manifest is seen like a damaged graph."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "sha256"


def sealed(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of manifest.json: indented JSON, its last field the hash of the others as they would stand alone."""
    return _text({**manifest, SEAL: hashlib.sha256(_text(manifest)).hexdigest()})


def is_sealed(manifest: Mapping[str, Any], content: bytes) -> bool:
    """Whether `content` is to the byte what `sealed` made of this manifest.

    Raises ValueError, RecursionError for values that `sealed` writes none of.
    """
    seal = manifest.get(SEAL)
    end = f',\n  "{SEAL}": "{seal}"\n}}\n'.encode() if isinstance(seal, str) else b""
    if not end or not content.endswith(end):
        return False
    if hashlib.sha256(content[: -len(end)] + b"\n}\n").hexdigest() != seal:
        return False  # found out before the slower test, which a key twice or other white space does not pass either
    return content == sealed({name: value for name, value in manifest.items() if name != SEAL})


def _text(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
