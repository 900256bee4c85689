"""What turns raw inputs into scores: a loaded graph, or for a module that cannot be traced torch itself."""

from autoopt.files import StoreEntry
from autoopt.runtime import Runner, Session
from autoopt.strategies.networks.untraced import FILE, is_untraced
from autoopt.task.facts import TaskFacts

GRAPH = "model.onnx"


def file_name(content: bytes) -> str:
    """What a deployed file of these bytes is called."""
    return FILE if is_untraced(content) else GRAPH


def file_of(entry: StoreEntry) -> str:
    """Name of the deployed file in its entry."""
    return FILE if FILE in entry.sha256 else GRAPH


def loaded(content: bytes, facts: TaskFacts, *, threads: int = 1) -> Runner:
    """Ready to run. Raises BundleError, StageFailure."""
    if not is_untraced(content):
        return Session(content, threads=threads)
    from autoopt.strategies.networks.own_task import own_code, own_task
    from autoopt.strategies.networks.torch_runner import TorchRunner
    from autoopt.task.module.loading import split_reference

    task, folder = own_task(facts), split_reference(facts.module)[0].parent
    output = facts.module_facts.output if facts.module_facts else ""
    with own_code(facts):
        return TorchRunner(content, task, folder, tuple(t.name for t in facts.tensors), output, threads=threads)
