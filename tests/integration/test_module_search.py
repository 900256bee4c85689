"""Modules of one's own through whole searches: real shapes, and the documented example."""

import re
from pathlib import Path

import numpy as np
import pytest
from support_cli import ROOT, Ran, end_soon, run_here, run_process
from support_module import HEAD, returning, write_task

from autoopt.bundle import load_bundle

pytestmark = pytest.mark.slow

FEW = ("--slots", "1", "--set", "module.epochs=5", "--set", "ensemble=none")
TRANSFORMER = returning(
    "build=Small, **{p: (lambda s=s: Tokens(s)) for s, p in enumerate(('train', 'valid', 'test'))}, "
    "metric=hits, classes=['less', 'more']",
    """
class Tokens(Dataset):
    def __init__(self, seed):
        g = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(1, 30, (300, 12), generator=g)
        self.mask = torch.ones(300, 12, dtype=torch.bool)
        self.y = ((self.ids < 15).sum(1) > 6).long()

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return (self.ids[i], self.mask[i]), self.y[i]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.out = nn.Linear(16, 2)

    def forward(self, ids, mask):
        shown = mask.unsqueeze(-1).float()
        return self.out((self.layers(self.embed(ids)) * shown).sum(1) / shown.sum(1))


def hits(scores, target):
    return (scores.argmax(1) == target).mean()
""",
)
MLP = returning(
    "build=mlp, train=Noisy(x, v), valid=cut(v)['valid'], test=cut(v)['test'], loss=squares",
    """
class Noisy(TensorDataset):
    def __getitem__(self, i):
        a, b = super().__getitem__(i)
        return a + 0.01 * torch.randn(4), float(b)


def mlp():
    return nn.Sequential(build(32, 1), nn.Flatten(0))


def squares(outputs, target):
    assert outputs.shape == target.shape and target.dtype == torch.float32
    return ((outputs - target) ** 2).mean()
""",
)


def search(folder: Path, body: str, *, inline: bool = False) -> Ran:
    words = ("--trials", "1", "--home", str(folder / "home"), "--study", "own", "--json", *FEW)
    return run_here("search", write_task(folder, body), *words, *(("--inline",) if inline else ()))


@pytest.mark.parametrize(
    "body,metric,inline",
    [(TRANSFORMER, "hits", True), (MLP, "rmse", False)],  # the last has loader workers
    ids=["transformer", "mlp"],
)
def test_a_real_shape_is_searched_and_exported(
    body: str, metric: str, inline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_soon(monkeypatch)
    ran = search(tmp_path, body, inline=inline)
    assert ran.code == 0, ran.err
    found = ran.last_json
    assert found["metric"] == metric
    assert found["trials"]["complete"] == 1
    assert found["best"]["recipe"]["model"] == "module"
    assert (tmp_path / "home" / "bundles" / "own" / "manifest.json").is_file()


def test_the_documented_example_runs_and_its_bundle_predicts(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "module.md").read_text()
    example = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    assert len(example.splitlines()) < 40
    (tmp_path / "task.py").write_text(example)
    words = ("--set", "build.width=32", "--home", str(tmp_path / "home"), "--study", "own", "--json")
    ran = run_process("search", "task.py:task", "--trials", "1", *FEW, *words, folder=tmp_path)
    assert ran.code == 0, ran.err
    assert (ran.last_json["metric"], ran.last_json["trials"]["complete"]) == ("accuracy", 1)
    recipe = ran.last_json["best"]["recipe"]
    assert (recipe["model"], recipe["build.width"]) == ("module", 32)
    bundle = load_bundle(tmp_path / "home" / "bundles" / "own")
    predicted = bundle.predict({"input": np.zeros((3, 1, 8, 8), dtype=np.float32)})
    assert len(predicted) == 3
    assert set(predicted["prediction"]) <= set(range(10))


WILD = """
class Wild(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = build()
    def forward(self, a):
        found = self.inner(a)
        return found * 2 if float(found.detach().sum()) > 1e9 else found
"""


def test_a_module_that_torch_cannot_trace_is_trained_exported_and_predicts_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_soon(monkeypatch)
    ran = search(tmp_path, returning("build=Wild, **cut(), metric='accuracy'", WILD), inline=True)
    assert ran.code == 0, ran.err
    assert re.search(r"quantize=static_int8, [^:]*: torch.export cannot trace the module", re.sub(r"\s+", " ", ran.err))
    assert "cannot trace" in ran.last_json["twin"]["reason"]
    bundle = tmp_path / "home" / "bundles" / "own"
    assert (bundle / "model.safetensors").is_file()
    assert not (bundle / "model.onnx").exists()
    np.savez(tmp_path / "rows.npz", input=np.ones((3, 4), dtype=np.float32))
    words, task = ("predict", str(bundle), str(tmp_path / "rows.npz")), f"{tmp_path / 'task.py'}:task"
    assert f"--task {task}" in ran.err
    assert len(run_here(*words, "--task", task).out.splitlines()) == 4
    assert run_here("check", str(bundle), "--task", task).code == 0
    without = run_here(*words)
    assert without.code == 2
    assert "--task" in without.err
    write_task(tmp_path, "# other code\n")
    assert "its hash differs" in run_here(*words, "--task", task).err


def test_a_broken_file_starts_nothing(tmp_path: Path) -> None:
    reference = write_task(tmp_path, "1 / 0\n", head=HEAD)
    ran = run_here("search", reference, "--set", "build.width=3", "--home", str(tmp_path / "home"))
    assert ran.code == 2
    assert "ZeroDivisionError" in ran.err
    assert "build.width" not in ran.err
    assert not (tmp_path / "home").exists()
