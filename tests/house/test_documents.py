"""The documents keep up with the code: commands are described, links lead somewhere, examples parse."""

import ast
import re
from pathlib import Path

import pytest

from autoopt.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "scripts").rglob("*.md"), *(ROOT / "storage").rglob("*.md")])


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"db"}))
def test_readme_shows_every_command(command: str) -> None:
    assert f"autoopt {command}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_examples_parse(document: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", document.read_text(), flags=re.DOTALL):
        ast.parse(block)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_figure_is_left_to_be_filled_in(document: Path) -> None:
    assert not re.search(r"<!-- real output|\bTBD\b|\bTODO\b", document.read_text())


def test_architecture_names_folders_that_are_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`(autoopt/[\w./]+|storage/[\w./]+|search_spaces/|tests/[\w./]+|scripts/[\w./]+)`", text))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
