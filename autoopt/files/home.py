"""The home folder: everything that a run leaves behind, and nothing elsewhere."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from autoopt.errors import OptionError
from autoopt.files.user_path import user_path

_STUDY_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


@dataclass(frozen=True, kw_only=True)
class Home:
    """Paths inside a home folder."""

    root: Path

    @classmethod
    def locate(cls, given: str | Path | None) -> "Home":
        """`given`, else AUTOOPT_HOME, else ./autoopt-home; absolute."""
        return cls(root=user_path(given or os.environ.get("AUTOOPT_HOME") or "autoopt-home").absolute())

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.root / 'autoopt.db'}"

    @property
    def tracking_url(self) -> str:
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def tracking_artifacts(self) -> Path:
        return self.root / "mlflow-artifacts"

    @property
    def store(self) -> Path:
        return self.root / "store"

    def snapshot(self, fingerprint: str) -> Path:
        """Folder of a task's snapshot."""
        return self.root / "tasks" / fingerprint

    def bundle(self, study: str) -> Path:
        """Where `search` leaves a study's bundle unless told otherwise."""
        return self.root / "bundles" / check_study_name(study)

    def logs(self, study: str) -> Path:
        """Folder of what a study's workers wrote to stderr."""
        return self.root / "logs" / check_study_name(study)


def check_study_name(name: str) -> str:
    """The name itself when it can safely be a file's, a database's and a URL's; else OptionError."""
    if not re.fullmatch(_STUDY_NAME, name) or ".." in name:
        shown = repr(name) if len(name) <= 60 else f"{name[:40]!r}... ({len(name)} characters)"
        raise OptionError(
            f"--study {shown} cannot be used as a name.",
            "Use 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit.",
        )
    return name
