"""A path as a user writes it."""

import os
from pathlib import Path


def user_path(name: str | os.PathLike[str]) -> Path:
    """With `~` as the home it stands for; the home of nobody stays as it is written: a path that does not exist."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)
