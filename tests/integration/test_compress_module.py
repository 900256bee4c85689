"""`autoopt compress task.py:function`: a network with its trained weights, taken as it is and made smaller."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support_cli import end_soon, run_here
from support_module import prepared, returning, write_task
from support_stages import Place, make_place

import autoopt
from autoopt.app.compressing import compress_options, understand_compression
from autoopt.app.options import Places
from autoopt.bundle import load_bundle
from autoopt.errors import InputError, StageFailure
from autoopt.task import Snapshot, TaskOptions
from autoopt.task.module.trained import other_weights

pytestmark = pytest.mark.usefixtures("short_timing")

ROWS = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
LOADING = """
from pathlib import Path

from safetensors.torch import load_file


def wide(width=64):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))


def trained(width=64):
    network = wide(width)
    network.load_state_dict(load_file(Path(__file__).parent / "weights.safetensors"))
    return network.requires_grad_(False)
"""
FIELDS = "**cut(), metric='accuracy', choices={'width': [32, 64]}"
TRAINED = returning(f"build=trained, {FIELDS}", LOADING)
FLOAT = {"model": "as_built", "quantize": "none"}
OPTIONS = TaskOptions(trained=True)


def fitted(folder: Path, *, seed: int = 0) -> torch.nn.Sequential:
    """A network that knows its rows; its weights lie beside the task."""
    torch.manual_seed(seed)
    layers = (torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
    network, target = torch.nn.Sequential(*layers), (ROWS[:, 0] + ROWS[:, 1] > 0).long()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(ROWS), target).backward()
        optimizer.step()
    save_file(network.state_dict(), folder / "weights.safetensors")
    return network.eval()


def place_of(folder: Path, body: str = TRAINED) -> Place:
    return make_place(folder, write_task(folder, body), trained=True)


def test_the_network_is_exported_as_it_is_with_a_smaller_form_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_soon(monkeypatch)
    network, task, small = fitted(tmp_path), write_task(tmp_path, TRAINED), tmp_path / "small"
    words = ("--set", "quantize=fp16", "--trials", "1", "--inline", "-o", "small", "--study", "own")
    monkeypatch.chdir(tmp_path)
    ran = run_here("compress", task, *words, "--home", str(tmp_path / "home"), "--tracking-uri", "none")
    assert ran.code == 0, ran.err
    monkeypatch.chdir("/")
    assert autoopt.load_study("own", home=tmp_path / "home").bundle == small
    assert "build(width=64), with the weights it gives" in ran.out
    assert "forms of the network" in ran.out
    bundle = load_bundle(small)
    with torch.no_grad():
        expected = network(ROWS).softmax(1).numpy()
    given = {"input": ROWS.numpy()}
    assert np.allclose(bundle.scores(given, artifact="float"), expected, atol=1e-5)
    assert np.allclose(bundle.scores(given, artifact="quantized"), expected, atol=0.01)
    sizes = {a["role"]: a["bytes"] for a in bundle.manifest["artifacts"]}
    assert sizes["quantized"] < 0.7 * sizes["float"]
    assert f"autoopt compress {task} --recipe" in (small / "recipe.yaml").read_text()


def test_every_form_is_made_of_one_export_and_held_to_the_network_as_it_came(tmp_path: Path) -> None:
    fitted(tmp_path)
    place = place_of(tmp_path)
    whole = place.evaluate(FLOAT)
    assert whole.measures["quality_drop"].value == 0
    tuned = {"prune": "channels", "prune.share": 0.5, "prune.epochs": 1, "prune.rate_share": 0.01}
    form = {**FLOAT, **tuned, "prune.taught": 0.5, "quantize": "static_int8", "qat": True, "qat.epochs": 1}
    pruned = place.evaluate(form)
    assert {s.name: s.hit for s in pruned.stages}["train"]
    assert pruned.measures["size_bytes"].value < 0.6 * whole.measures["size_bytes"].value
    lost = whole.measures["quality"].value - pruned.measures["quality"].value
    assert pruned.measures["quality_drop"].value == pytest.approx(100 * lost / whole.measures["quality"].value)
    assert any("weights left" in note for note in pruned.notes)
    pair = place.verify(FLOAT, form, keeps_twin=True)
    kept = [load_file(w["weights.safetensors"])["network.2.weight"] for w in (pair.weights, pair.twin_weights)]
    assert [tuple(w.shape) for w in kept] == [(64, 64), (32, 32)], "each artifact brings what it was made of"
    facts = Snapshot.open(Path(place.snapshot)).facts
    assert other_weights(facts) == ""
    fitted(tmp_path, seed=1)  # the file is written anew while the study goes on
    with pytest.raises(StageFailure, match="other weights than when the study began"):
        Place(snapshot=place.snapshot, store=str(tmp_path / "other")).evaluate(FLOAT)
    assert "Compress again" in other_weights(facts)


def test_a_network_that_cannot_be_traced_keeps_its_weights_and_says_why(tmp_path: Path) -> None:
    fitted(tmp_path)
    wild = LOADING.replace("return network.requires_grad_(False)", "return Wild(network)") + (
        "\n\nclass Wild(nn.Module):\n    def __init__(self, inner):\n        super().__init__()\n"
        "        self.inner = inner\n\n    def forward(self, a):\n        found = self.inner(a)\n"
        "        return found * 2 if float(found.detach().sum()) > 1e9 else found\n"
    )
    task = write_task(tmp_path, returning(f"build=trained, {FIELDS}", wild))
    found = understand_compression(compress_options(task, places=Places(home=str(tmp_path / "home"))))
    assert any(name == "quantize=static_int8" and "cannot trace" in why for name, why in found.space.dropped)
    assert {recipe["quantize"] for recipe in found.space.portfolio} == {"none"}
    assert found.spec()["usual_forms_s"] == found.budget.seconds
    place = make_place(tmp_path, task, trained=True)
    entry = place.evaluate(FLOAT)
    assert (Path(place.store) / "deploy" / entry.artifact_key / "model.safetensors").is_file()
    assert entry.measures["quality"].value > 0.9


@pytest.mark.parametrize(
    ("build", "told"),
    [
        ("wide", "gives other weights each time it is called (6 of 6 tensors, 0.weight first)"),
        ("half", "(2 of 6 tensors, 4.weight first)"),
    ],
)
def test_a_network_with_random_weights_is_refused(build: str, told: str, tmp_path: Path) -> None:
    fitted(tmp_path)
    half = LOADING + "\n\ndef half(width=64):\n    return trained(width)[:4].append(nn.Linear(width, 2))\n"
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, returning(f"build={build}, {FIELDS}", half), OPTIONS)
    assert told in str(caught.value)


def test_one_that_is_no_better_than_a_guess_is_told(tmp_path: Path) -> None:
    same = LOADING + "\n\ndef same(width):\n    torch.manual_seed(3)\n    return wide(width)\n"
    warnings = prepared(tmp_path, returning(f"build=same, {FIELDS}", same), OPTIONS).facts.warnings
    assert any("Does build load the trained weights?" in w for w in warnings)
    fitted(tmp_path)
    assert not any("guess" in w for w in prepared(tmp_path, TRAINED, OPTIONS).facts.warnings)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("compress", "--data", "rows.npz", "--normalize", "imagenet"), ("--data rows.npz is for a graph", "imagenet")),
        (("compress", "--set", "build.width=32"), ("build.width",)),
        (("search", "--space", "built"), ("came trained",)),
        (("search", "--set", "model=as_built"), ("came trained",)),
    ],
)
def test_what_cannot_be_is_one_message(words: tuple[str, ...], told: tuple[str, ...], tmp_path: Path) -> None:
    fitted(tmp_path)
    command, *options = words
    ran = run_here(command, write_task(tmp_path, TRAINED), *options, "--home", str(tmp_path / "home"))
    assert ran.code == 2
    assert all(part in ran.err for part in told)
    assert not (tmp_path / "home").exists()
