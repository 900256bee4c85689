"""autoopt: one search over models, training tricks and deployment.

import autoopt

study = autoopt.search("adult.csv", target="income", time="60s", limits=["latency_ms<=1"])
study.best, study.front
autoopt.load_bundle(study.bundle).predict(frame)
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Bundle", "ModuleTask", "Study", "__version__", "load_bundle", "load_study", "search"]

if TYPE_CHECKING:
    from autoopt.app.api import load_bundle, load_study, search
    from autoopt.app.study import Study
    from autoopt.bundle import Bundle
    from autoopt.task.module.spec import ModuleTask

_HOMES = {
    "search": "autoopt.app.api",
    "load_study": "autoopt.app.api",
    "load_bundle": "autoopt.app.api",
    "Study": "autoopt.app.study",
    "Bundle": "autoopt.bundle",
    "ModuleTask": "autoopt.task.module.spec",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import autoopt` alone stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'autoopt' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
