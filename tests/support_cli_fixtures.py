"""A home with a finished study. Use: `pytest_plugins = ["support_cli_fixtures"]` in a test module."""

import pytest
from support_cli import CHEAP, Searched, run_process, write_table


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """One real search through a process, shared by every test of this session."""
    folder = tmp_path_factory.mktemp("searched")
    data = write_table(folder / "table.csv")
    home = folder / "home"
    words = ("--target", "y", "--trials", "3", "--study", "tree", "--home", str(home), "--json")
    ran = run_process("search", str(data), *words, "--tracking-uri", "none", *CHEAP, folder=folder)
    assert ran.code == 0, ran.err
    return Searched(home=home, study="tree", bundle=home / "bundles" / "tree", data=data, ran=ran)
