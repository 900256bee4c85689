"""The names of `import autoopt`: each is what it says, whatever else was imported before."""

import importlib
import pkgutil
import types

import pytest

import autoopt


@pytest.fixture(scope="module", autouse=True)
def everything_imported() -> None:
    """A subpackage of a public name's own name would take that name over when it is imported."""
    for module in pkgutil.iter_modules(autoopt.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"autoopt.{module.name}")


@pytest.mark.parametrize("name", [n for n in autoopt.__all__ if n != "__version__"])
def test_public_names_are_functions_and_classes(name: str) -> None:
    for _ in range(2):
        found = getattr(autoopt, name)
        assert callable(found)
        assert not isinstance(found, types.ModuleType)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        getattr(autoopt, "serch")  # noqa: B009  # the name is what is tested
