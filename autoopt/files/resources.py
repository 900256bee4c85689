"""Finds the folders that lie beside the package in a checkout and inside it in a wheel."""

from pathlib import Path


def resource_folder(name: str) -> Path:
    """Folder of 'search_spaces' or 'storage': `autoopt/_spaces`, `autoopt/_storage` in a wheel. LookupError else."""
    package = Path(__file__).resolve().parent.parent
    inside = package / {"search_spaces": "_spaces", "storage": "_storage"}[name]
    beside = package.parent / name
    for candidate in (inside, beside):
        if candidate.is_dir():
            return candidate
    raise LookupError(f"neither {inside} nor {beside} is there: the installation is incomplete")
