"""The bundle: what a study leaves behind. Written whole or not at all, verified before anything of it is loaded."""

from autoopt.bundle.bench import BenchReport, bench_bundles
from autoopt.bundle.check import CheckReport, CheckRow, check_bundle
from autoopt.bundle.contents import BundleContents
from autoopt.bundle.load import Bundle, load_bundle
from autoopt.bundle.manifest import environment
from autoopt.bundle.own_module import has_weights_only
from autoopt.bundle.signing import SigningKey, VerifyKey
from autoopt.bundle.verify import read_manifest
from autoopt.bundle.write import check_target, write_bundle

__all__ = [
    "BenchReport",
    "Bundle",
    "BundleContents",
    "CheckReport",
    "CheckRow",
    "SigningKey",
    "VerifyKey",
    "bench_bundles",
    "check_bundle",
    "check_target",
    "environment",
    "has_weights_only",
    "load_bundle",
    "read_manifest",
    "write_bundle",
]
