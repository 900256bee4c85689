"""Which libraries are installed, without importing them."""

import importlib.metadata
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Library:
    """A distribution that autoopt uses. `install` says how to get it when it is not there."""

    distribution: str
    install: str
    purpose: str = ""
    optional: bool = False

    @property
    def version(self) -> str | None:
        """The installed version; None when it is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


_REQUIRED = (
    "alembic",
    "click",
    "h5py",
    "jinja2",
    "lightgbm",
    "mlflow",
    "numpy",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas",
    "psutil",
    "pyarrow",
    "pyyaml",
    "rich",
    "safetensors",
    "scikit-learn",
    "sqlalchemy",
    "threadpoolctl",
    "torch",
)

LIBRARIES: tuple[Library, ...] = (
    *(Library(distribution=name, install=f"pip install {name}") for name in _REQUIRED),
    Library(
        distribution="psycopg",
        install="pip install 'autoopt[postgresql]'",
        purpose="studies in PostgreSQL (--storage)",
        optional=True,
    ),
    Library(
        distribution="optuna-dashboard",
        install="pip install 'autoopt[dashboard]'",
        purpose="Optuna's own pages on a study",
        optional=True,
    ),
    Library(
        distribution="tokenizers",
        install="pip install 'autoopt[subwords]'",
        purpose="texts as pieces of words (tokens: subwords)",
        optional=True,
    ),
)
