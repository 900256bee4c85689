"""What is asked of `autoopt compress`, as the options of a study."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from autoopt.app.options import SearchOptions
from autoopt.app.understanding import Understanding, understand
from autoopt.bundle import read_manifest
from autoopt.errors import BundleError, OptionError, Problem
from autoopt.files import user_path
from autoopt.orchestrator.selection import TWIN
from autoopt.strategies.networks.own_network import BUILD
from autoopt.task.modality import GRAPH_ENDING, is_folder, is_module_reference
from autoopt.values import QUALITY_DROP, Budget, Limit

DEFAULT_TIME_S: Final = 60.0
OWN_TIME_S: Final = 180.0
"""Of a network that the user has trained: some of its forms are fine-tuned."""
OWN_SPACE: Final = "built"
"""Of a network that the user has trained."""
DEFAULT_DROP: Final = 0.5
"""Percent of the float graph's quality that a twin may lose."""
WEIGHTS_ENDINGS: Final = (".pt", ".pth", ".ckpt", ".safetensors", ".bin")
EXPORTING: Final = "torch.onnx.export(network, example, 'model.onnx')"


def compress_options(source: str, **asked: Any) -> SearchOptions:
    """The options of the study. Raises OptionError for what is no graph's file, no bundle and no task's function.

    What is wrong with other options is told with it.
    """
    own, bundled = is_module_reference(source), is_folder(source)
    options = SearchOptions(data=source, pick=TWIN, trained=own, space=OWN_SPACE if own else None, **asked)
    wrong = _row_problems(options) if own else _bundle_problems(options) if bundled else _source_problems(options)
    if wrong:
        raise OptionError([*wrong, *options.problems()])
    limits, drop = options.limits, _asked_drop(options.limits)
    if drop is None:
        drop = DEFAULT_DROP
        limits = (*limits, f"{QUALITY_DROP}<={drop}%")
    return replace(options, limits=limits, tolerance=min(drop / 100, 0.99))


def understand_compression(options: SearchOptions) -> Understanding:
    """As `understand`; without a budget it ends when each usual form was tried, or after one to three minutes."""
    found = understand(options)
    if options.time_s is not None or options.trials is not None or options.recipe is not None:
        return found
    seconds = OWN_TIME_S if options.trained else DEFAULT_TIME_S
    budget = Budget(seconds=seconds, trials=max(1, len(found.space.portfolio)))
    return replace(found, budget=budget, usual_forms=True)


def _asked_drop(limits: tuple[str, ...]) -> float | None:
    """The bound on quality_drop, the tightest; 0 where one cannot be read, which is told with all the rest."""
    found = []
    for text in (x for x in limits if x.strip().startswith(QUALITY_DROP)):
        try:
            found.append(Limit.parse(text).bound)
        except OptionError:
            found.append(0.0)
    return min(found, default=None)


def _row_problems(options: SearchOptions) -> list[Problem]:
    """Of a network of the user's own: what only a graph's rows need."""
    given = {"--data": options.rows, "--normalize": options.normalize, "--verify-key": options.verify_key}
    mend = "Leave it out: the task's own train, valid and test are the rows."
    told = "is for a graph, and a network comes with its task's datasets."
    found = [Problem(what=f"{name} {x} {told}", mend=mend) for name, x in given.items() if x is not None]
    pinned = [pin for pin in options.pins if pin.strip().startswith(f"{BUILD}.")]
    mend = "Make it the default in the task's choices, and let build load weights that were trained with it."
    told = "its weights are those of build with the defaults of its arguments, of which none is searched."
    return [*found, *(Problem(what=f"--set {pin}: the network came trained, and {told}", mend=mend) for pin in pinned)]


def _bundle_problems(options: SearchOptions) -> list[Problem]:
    """Of a folder beside which no rows are given: whether it is a bundle is told with that."""
    if options.rows is not None:
        return []
    source = Path(str(options.data))
    try:
        read_manifest(user_path(source))
        found = []
    except BundleError as error:
        found = [Problem(what=str(error), mend="")]
    what = f"No rows were given for {source}: --data is missing, and its few sample rows are too few to measure with."
    mend = (
        f"Give some hundred as raw as its training data: autoopt compress {source} --data rows.csv, photos/ or rows.npz"
    )
    return [*found, Problem(what=what, mend=mend)]


def _source_problems(options: SearchOptions) -> list[Problem]:
    """Of what is to be a graph's file."""
    source, key = str(options.data), options.verify_key
    if source.lower().endswith(GRAPH_ENDING):
        what = f"--verify-key {key} is for a bundle: {source} has no signature, and nothing of it would be verified."
        return [] if key is None else [Problem(what=what, mend="Leave it out, or give the bundle's folder.")]
    mend = "Give a graph: model.onnx; a bundle's folder; or a network of your own with its weights: task.py:function."
    ending = Path(source).suffix.lower()
    if ending in WEIGHTS_ENDINGS:
        what = f"{source} holds weights of a network, and not how it computes."
        return [
            Problem(
                what=what,
                mend=f"Give a function that builds it and loads them, task.py:function, or a graph: {EXPORTING}.",
            )
        ]
    if ending == ".py":
        mend = f"Name its function that gives the ModuleTask: {source}:task."
        return [Problem(what=f"{source} is a file of functions, and none of them is named.", mend=mend)]
    gone = not ending and not user_path(source).exists()
    return [Problem(what=f"{source} {'does not exist' if gone else 'is no ONNX file by its name'}.", mend=mend)]
