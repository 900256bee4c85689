"""Puts `search_spaces/` and `storage/` into the wheel as data of the package; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RESOURCES = {"search_spaces": "_spaces", "storage": "_storage"}


class BuildWithResources(build_py):
    """`build_py`, then a copy of each resource folder inside the built package."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # a checkout finds them beside the package
        for folder, name in RESOURCES.items():
            target = Path(self.build_lib) / "autoopt" / name
            shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildWithResources})
