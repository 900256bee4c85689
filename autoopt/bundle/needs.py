"""Packages, with the versions that are here, that a bundle's own script and its MLflow model need."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from autoopt.bundle.contents import BundleContents
from autoopt.runtime import Serving
from autoopt.runtime.engines import engine
from autoopt.runtime.serving import PLAIN_RUNTIME

PLAIN_PACKAGES: Final = ("onnxruntime", "onnxruntime-gpu")
"""Either brings onnxruntime."""


def requirements(contents: BundleContents, others: Iterable[str]) -> str:
    """A requirements file: `others`, onnxruntime, and the runtime that serves the chosen artifact if it is another."""
    verified = contents.verified
    artifact = verified.twin if contents.chosen == "quantized" and verified.twin else verified.float_artifact
    runtime = Serving.parse(artifact.serving).runtime
    chosen = None if runtime == PLAIN_RUNTIME else engine(runtime)
    plain = next(filter(_is_here, PLAIN_PACKAGES), PLAIN_PACKAGES[0])
    needed = sorted({*others, plain, *([] if chosen is None else [chosen.distribution])})
    return "".join(f"{name}=={version(name)}\n" for name in needed)


def _is_here(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
