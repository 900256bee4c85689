"""A bundle of weights without a graph: what is no such file is refused in one message, whatever its header claims."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support_damage import PICKLE
from support_module import write_task

from autoopt.bundle.own_module import torch_runner
from autoopt.errors import BundleError
from autoopt.files import sha256_file
from autoopt.strategies.networks.untraced import UntracedArtifact

SHAPES = {"0.weight": (8, 4), "0.bias": (8,), "2.weight": (2, 8), "2.bias": (2,)}


def whole() -> bytes:
    weights = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
    return UntracedArtifact(weights=weights, build={}, reason="").content()


def load(folder: Path, content: bytes) -> Any:
    reference = write_task(folder)
    module = {"sha256": sha256_file(folder / "task.py"), "inputs": ["x"], "output": "logits"}
    return torch_runner(folder, {"module": module}, content, reference, 1)


def headed(header: Any, body: bytes = b"") -> bytes:
    """Content with that header before the body."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The whole content with another header."""
    content = whole()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    change(header)
    return headed(header, content[end:])


def pickled(folder: Path) -> bytes:
    torch.save({name: torch.ones(shape) for name, shape in SHAPES.items()}, folder / "weights.pt")
    return (folder / "weights.pt").read_bytes()


DAMAGED: dict[str, Callable[[Path], bytes]] = {
    "nothing": lambda _: b"",
    "seven bytes": lambda _: whole()[:7],
    "a header of 1 GB": lambda _: (1 << 30).to_bytes(8, "little") + whole()[8:],
    "a header of all that there is": lambda _: b"\xff" * 8 + whole()[8:],
    "no header": lambda _: bytes(8) + whole()[8:],
    "a header that is no JSON": lambda _: whole().replace(b"{", b"(", 1),
    "a header that is no text": lambda _: headed(b"\xff\xfe{}"),
    "a header that is a list": lambda _: headed([]),
    "an empty header": lambda _: headed({}),
    "100,000 lists in each other": lambda _: headed(b"[" * 100_000),
    "half of it": lambda _: whole()[: len(whole()) // 2],
    "a byte short": lambda _: whole()[:-1],
    "a byte longer": lambda _: whole() + b"\0",
    "a pickle": lambda _: PICKLE,
    "torch's own format": pickled,
    "no metadata": lambda _: changed(lambda h: h.pop("__metadata__")),
    "metadata of another": lambda _: changed(lambda h: h.update(__metadata__={"format": "pt"})),
    "metadata that are none": lambda _: changed(lambda h: h.update(__metadata__={"autoopt": "{"})),
    "build is a list": lambda _: changed(lambda h: h.update(__metadata__={"autoopt": '{"build": []}'})),
    "weights beyond the end": lambda _: changed(lambda h: h["2.bias"].update(data_offsets=[0, 1 << 40])),
    "weights before the beginning": lambda _: changed(lambda h: h["2.bias"].update(data_offsets=[-8, 0])),
    "weights in each other": lambda _: changed(lambda h: h["2.bias"].update(data_offsets=[0, 8])),
    "a weight of a terabyte": lambda _: changed(lambda h: h["2.bias"].update(shape=[1 << 40])),
    "numbers of nobody": lambda _: changed(lambda h: h["2.bias"].update(dtype="F31")),
    "objects": lambda _: changed(lambda h: h["2.bias"].update(dtype="O")),
    "a weight missing": lambda _: changed(lambda h: h.update(other=h.pop("2.bias"))),
    "another shape": lambda _: changed(lambda h: h["0.weight"].update(shape=[4, 8])),
}


def test_whole_weights_are_run(tmp_path: Path) -> None:
    scores = load(tmp_path, whole()).run({"x": np.ones((3, 4), np.float32)})
    assert scores.shape == (3, 2)


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_weights_are_refused_in_one_message(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match=r"model\.safetensors is damaged|The weights do not fit") as caught:
        load(tmp_path, DAMAGED[name](tmp_path))
    assert "\n" not in str(caught.value)
