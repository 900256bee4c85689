"""Whether `build` gives a network with trained weights: always the same ones, and better than a guess."""

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.task.facts import TaskFacts
from autoopt.task.metrics import metric_of
from autoopt.task.module.choices import Choices, defaults
from autoopt.task.module.forward import LOGITS, VALUES, built, outputs_of
from autoopt.task.module.loading import load_task, split_reference, user_code
from autoopt.task.module.spec import ModuleTask
from autoopt.task.scoring import bootstrap_interval, dummy_scores, score
from autoopt.task.snapshot import PartArrays
from autoopt.task.spreading import spread_rows
from autoopt.task.wording import count

OTHER_WEIGHTS: Final = (
    "build gives other weights than when the study began: their file was written anew, or each process draws its own."
)
MOST_ROWS, ROWS_AT_ONCE = 1_000, 64
"""Of valid, that the network is tried on."""
ROUNDS: Final = 50
"""Of drawing these anew, for what of a score is noise."""


def weights_hash(network: Any) -> str:
    """SHA-256 over the state dict of an nn.Module: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, part in _digests(network).items():
        digest.update(f"{name} {part};".encode())
    return digest.hexdigest()


def hash_of_trained(task: ModuleTask, choices: Choices, reference: str) -> str:
    """`weights_hash` of what `build` gives with its defaults.

    Raises DataError where it gives other weights each time it is called: it has loaded none.
    """
    folder = split_reference(reference)[0].parent
    networks = [built(task.build, defaults(choices), folder) for _ in range(2)]
    with user_code("The state_dict of what build gives", folder):
        first, second = map(_digests, networks)
    other = [name for name in first.keys() | second.keys() if first.get(name) != second.get(name)]
    if not other:
        return weights_hash(networks[0])
    shown = min(other, key=lambda name: list(first).index(name) if name in first else len(first))
    told = f"{len(other)} of {count(len(first), 'tensor')}, {shown} first"
    mend = (
        "Let build load what was trained: network.load_state_dict(safetensors.torch.load_file(FILE)). "
        f"What is still to be trained is for: autoopt search {reference}"
    )
    raise DataError(f"build gives other weights each time it is called ({told}): random ones, not trained.", mend)


def other_weights(facts: TaskFacts) -> str:
    """That `build` gives other weights than when the study began, in a sentence; '' where it does not."""
    known = facts.module_facts
    if known is None or not known.weights:
        return ""
    folder = split_reference(facts.module)[0].parent
    network = built(load_task(facts.module).build, defaults(known.choices), folder)
    changed = weights_hash(network) != known.weights
    return f"{OTHER_WEIGHTS} Compress again: it is another network." if changed else ""


def doubts(task: ModuleTask, facts: TaskFacts, train: PartArrays, valid: PartArrays) -> tuple[str, ...]:
    """A warning where the network as `build` gives it is, within the noise, no better on valid than any guess."""
    if facts.module_facts is None:
        return ()
    rows = spread_rows(len(valid.target), MOST_ROWS)
    folder = split_reference(facts.module)[0].parent
    network = built(task.build, defaults(facts.module_facts.choices), folder)
    parts = [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]
    outputs = np.concatenate([outputs_of(network, [a[part] for a in valid.tensors], folder) for part in parts])
    target, card = valid.target[rows], metric_of(facts)
    scores = _scores(outputs, facts.module_facts.output)
    found = score(card.name, facts, target, scores)
    guess = score(card.name, facts, target, dummy_scores(facts, train.target, len(target)))
    low, high = bootstrap_interval(card.name, facts, target, scores, rounds=ROUNDS)
    better = low > guess if card.greater_is_better else high < guess
    if better or not np.isfinite([found, guess, low, high]).all():
        return ()
    told = f"{facts.metric} {found:.4g} on valid, a guess that looks at nothing {guess:.4g}"
    return (f"Does build load the trained weights? The network as it gives it is no better than a guess: {told}.",)


def _digests(network: Any) -> dict[str, str]:
    """SHA-256 of each tensor of the state dict, with its type and shape."""
    import torch

    found = {}
    for name, value in network.state_dict().items():
        if not isinstance(value, torch.Tensor):  # what a module keeps beside its tensors
            continue
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        found[name] = hashlib.sha256(f"{value.dtype} {tuple(value.shape)}".encode() + raw).hexdigest()
    return found


def _scores(outputs: NDArray[np.float64], form: str) -> NDArray[np.float64]:
    """Probabilities (rows, classes), or values (rows, 1), of what the network gives."""
    if form == LOGITS:
        shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        found: NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
        return found
    column = outputs.reshape(-1, 1)
    if form == VALUES:
        return column
    second = 1 / (1 + np.exp(-np.clip(column, -500, 500)))
    return np.concatenate([1 - second, second], axis=1)
