"""A user's own module as a task: what is taken over of a sound file, and what is said of a broken one."""

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support_module import SOUND, prepared, returning

import autoopt
from autoopt.errors import DataError, OptionError, StageFailure
from autoopt.space import Choice, Real, Whole, load_space, pin
from autoopt.space.extend import extend
from autoopt.stages.keys import stage_keys
from autoopt.stages.preparing import LoadJob, PrepareJob
from autoopt.stages.preparing.module import ModulePreparer
from autoopt.strategies import build_declarations, catalogue_for
from autoopt.strategies.networks.own_task import own_task, training_items
from autoopt.strategies.prepared import Arrays
from autoopt.task import Kind, Modality, Snapshot, TaskOptions, prepare_task
from autoopt.task.assemble import PreparedTask
from autoopt.task.metrics import metric_of
from autoopt.task.scoring import bootstrap_interval, score


def test_a_sound_task_is_understood(tmp_path: Path) -> None:
    task = prepared(tmp_path)
    facts = task.facts
    assert facts.modality is Modality.MODULE
    assert facts.kind is Kind.BINARY
    assert facts.metric == "accuracy"
    assert facts.classes == ("0", "1")
    assert facts.rows == {"train": 80, "valid": 20, "test": 20}
    assert [(t.name, t.dtype, t.shape) for t in facts.tensors] == [("input", "float32", (4,))]
    assert facts.module == f"{tmp_path.resolve() / 'task.py'}:task"
    assert task.parts["valid"].tensors[0].shape == (20, 4)
    assert task.parts["train"].tensors[0].shape == (0, 4)
    assert len(task.parts["train"].target) == 80


def test_the_task_survives_its_snapshot(tmp_path: Path) -> None:
    task = prepared(tmp_path, returning("build=build, **cut(), choices={'width': [4, 8]}"))
    task.save(tmp_path / "snapshot")
    opened = Snapshot.open(tmp_path / "snapshot").verify()
    assert opened.facts == task.facts
    assert np.array_equal(opened.part("test").tensors[0], task.parts["test"].tensors[0])


def test_importing_autoopt_and_the_dataclass_needs_no_torch() -> None:
    code = "import sys, autoopt; autoopt.ModuleTask; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_a_task_object_is_refused_with_the_form_to_use() -> None:
    task = autoopt.ModuleTask(build=dict, train=[1], valid=[1])
    with pytest.raises(DataError, match=r"cannot be carried.*path/to/task\.py:function"):
        prepare_task(task, TaskOptions())  # type: ignore[arg-type]


ITEMS = """
class Items(Dataset):
    def __init__(self, give, rows=40):
        self.give, self.rows = give, rows
    def __len__(self):
        return self.rows
    def __getitem__(self, i):
        return self.give(i)
"""
ENDLESS = "class It(IterableDataset):\n    def __iter__(self):\n        return iter(())"
OWN_ITEMS = "build=build, train=Items(give), valid=Items(give)"
BROKEN = {
    "raises on import": ("1 / 0\n" + SOUND, r"task\.py, line 22: ZeroDivisionError"),
    "is no python": ("def (\n", r"SyntaxError"),
    "ends the program": ("raise SystemExit(3)\n" + SOUND, r"SystemExit"),
    "has no such function": ("def tusk():\n    pass\n", r"no function 'task'.*tusk"),
    "returns something else": ("def task():\n    return 3\n", r"returned a int, not an autoopt\.ModuleTask"),
    "raises in the function": ("def task():\n    raise OSError('no data')\n", r"task\.py, line \d+: OSError: no data"),
    "raises in build": (
        returning("build=lambda: nn.Linear('four', 2), **cut()"),
        r"build\(\) failed: task\.py, line \d+: TypeError",
    ),
    "builds no module": (returning("build=lambda: 3, **cut()"), r"build\(\) gave a int"),
    "does not take its choices": (
        returning("build=lambda: nn.Linear(4, 2), **cut(), choices={'width': [1]}"),
        r"build\(width=1\) failed: TypeError",
    ),
    "is of another width": (
        returning("build=lambda: nn.Linear(5, 2), **cut()"),
        r"forward with a batch of valid failed: RuntimeError: mat1 and mat2",
    ),
    "gives NaN": (
        returning("build=Bad, **cut()", "class Bad(nn.Module):\n    def forward(self, a):\n        return a / 0 * 0"),
        r"NaN or infinite, before any training",
    ),
    "gives an image": (returning("build=lambda: nn.Unflatten(1, (2, 2)), **cut()"), r"shape \(8, 2, 2\) for 8 rows"),
    "one output for classes": (returning("build=lambda: build(outputs=1), **cut()"), r"1 output a row.*cross_entropy"),
    "two outputs for values": (returning("build=build, **cut(v), loss='mse'"), r"2 outputs a row.*\(rows, 1\)"),
    "classes that are values": (returning("build=build, **cut(v)"), r"wants class numbers"),
    "a class too many": (returning("build=build, **cut(y * 2)"), r"train: the target of item \d+ is 2"),
    "a wrong number of names": (returning("build=build, **cut(), classes=['a']"), r"classes names 1"),
    "an unknown loss": (returning("build=build, **cut(), loss='hinge'"), r"'hinge' is not a loss"),
    "an unknown metric": (returning("build=build, **cut(), metric='acuracy'"), r"'acuracy' is not a metric"),
    "a metric that raises": (
        returning("build=build, **cut(), metric=lambda scores, target: scores.nope"),
        r"The metric own lambda failed: task\.py, line \d+: AttributeError",
    ),
    "a metric that is no number": (returning("build=build, **cut(), metric=lambda s, t: 'good'"), r"gave a str"),
    "a metric that does not fit": (returning("build=build, **cut(), metric='rmse'"), r"does not fit"),
    "a choice that is none": (returning("build=build, **cut(), choices={'width': 8}"), r"neither values nor a range"),
    "a default outside": (
        returning("build=build, **cut(), choices={'width': {'low': 1, 'high': 4, 'default': 9}}"),
        r"the default '9' is not in it",
    ),
    "no valid": (returning("build=build, train=cut()['train'], valid=None"), r"valid is None"),
    "an empty train": (
        returning("build=build, train=TensorDataset(x[:0], y[:0]), valid=cut()['valid']"),
        r"train is empty",
    ),
    "an iterable train": (
        returning(
            "build=build, train=It(), valid=cut()['valid']",
            ENDLESS,
        ),
        r"train is an IterableDataset",
    ),
    "a number for a dataset": (returning("build=build, train=3, valid=cut()['valid']"), r"train is a int.*no length"),
    "shapes that differ": (
        returning(OWN_ITEMS, ITEMS + "\ndef give(i):\n    return torch.zeros(4 if i < 7 else 5), 0"),
        r"train: input 1 of item 7 is float32 \(5,\), that of item 0 float32 \(4,\)",
    ),
    "items without a target": (
        returning(OWN_ITEMS, ITEMS + "\ndef give(i):\n    return torch.zeros(4)"),
        r"item 0 is a Tensor, not \(input, target\)",
    ),
    "a target of many numbers": (
        returning(OWN_ITEMS, ITEMS + "\ndef give(i):\n    return torch.zeros(4), torch.zeros(3)"),
        r"the target has the shape \(3,\)",
    ),
    "a text for an input": (returning(OWN_ITEMS, ITEMS + "\ndef give(i):\n    return 'a', 1"), r"is a str"),
    "a dataset that raises": (
        returning(OWN_ITEMS, ITEMS + "\ndef give(i):\n    return {}[i], 1"),
        r"train\[0\] failed: task\.py, line \d+: KeyError",
    ),
    "parts that differ": (
        returning("build=build, train=cut()['train'], valid=cut(inputs=x.double())['valid']"),
        r"The inputs of valid are float64 \(4,\); those of train are float32 \(4,\)",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_task_is_told_in_a_line(what: str, tmp_path: Path) -> None:
    body, message = BROKEN[what]
    with pytest.raises((DataError, OptionError), match=message) as caught:
        prepared(tmp_path, body)
    for problem in caught.value.problems:
        assert "\n" not in problem.what
        assert "Traceback" not in str(problem)
    assert all(p.mend for p in caught.value.problems)


def test_all_that_is_wrong_with_the_fields_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, returning("build=3, **cut(), loss='hinge', metric='nope', choices=[1]"))
    assert len(caught.value.problems) == 4


def test_options_of_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--target 'y' means nothing"):
        prepared(tmp_path, options=TaskOptions(target="y"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a file"):
        prepare_task(f"{tmp_path}/none.py:task", TaskOptions())


def test_the_tasks_of_one_file_know_each_other_and_its_folder(tmp_path: Path) -> None:
    tmp_path.joinpath("own_layers_of_this_test.py").write_text("WIDTH = 8\n")
    body = "import own_layers_of_this_test\n" + returning("build=lambda: build(own_layers_of_this_test.WIDTH), **cut()")
    facts = prepared(tmp_path, body).facts
    assert facts.module_facts is not None
    assert {Path(f).name for f in facts.module_facts.files} == {"task.py", "own_layers_of_this_test.py"}


def test_another_source_is_another_task(tmp_path: Path) -> None:
    first = prepared(tmp_path).facts
    assert prepared(tmp_path).facts.fingerprint == first.fingerprint
    second = prepared(tmp_path, SOUND + "# changed\n").facts
    assert second.fingerprint != first.fingerprint
    with pytest.raises(StageFailure, match="not what it was when the study began"):
        own_task(first)
    assert own_task(second).metric == "accuracy"


@pytest.mark.parametrize(
    "loss,outputs", [("'bce_with_logits'", 1), ("lambda o, t: (o.squeeze(1) - t).abs().mean()", 1)]
)
def test_one_output_can_stand_for_two_classes(loss: str, outputs: int, tmp_path: Path) -> None:
    facts = prepared(tmp_path, returning(f"build=lambda: build(outputs={outputs}), **cut(), loss={loss}")).facts
    assert facts.kind is Kind.BINARY
    assert facts.module_facts is not None
    assert facts.module_facts.output == "logit"


def test_values_and_their_unit(tmp_path: Path) -> None:
    task = prepared(tmp_path, returning("build=lambda: build(outputs=1), **cut(v), loss='mse'"))
    assert task.facts.kind is Kind.REGRESSION
    assert task.facts.metric == "rmse"
    assert task.parts["train"].target.dtype == np.float64


def test_a_missing_test_set_is_told(tmp_path: Path) -> None:
    task = prepared(tmp_path, returning("build=build, train=cut()['train'], valid=cut()['valid']"))
    assert task.facts.rows["test"] == 0
    assert any("no test set" in w for w in task.facts.warnings)


def test_datasets_may_be_made_by_functions(tmp_path: Path) -> None:
    body = returning("build=build, train=lambda: cut()['train'], valid=lambda: cut()['valid'], test=cut()['test']")
    assert prepared(tmp_path, body).facts.rows == {"train": 80, "valid": 20, "test": 20}


def test_several_inputs_have_the_names_of_forward(tmp_path: Path) -> None:
    pair = """
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def forward(self, left, right):
        return self.layer(left) + right.float()

def parts():
    data = TensorDataset(x, torch.arange(120).reshape(-1, 1), y)
    return {"train": data, "valid": data}
"""
    facts = prepared(tmp_path, returning("build=Pair, **parts()", pair)).facts
    assert [(t.name, t.dtype) for t in facts.tensors] == [("left", "float32"), ("right", "int64")]


# ---- own metrics --------------------------------------------------------------------------

SHARE = """
def hits(scores, target):
    assert scores.shape == (len(target), 2)
    return (scores.argmax(1) == target).mean()
"""


def test_a_metric_of_ones_own_scores_as_it_says(tmp_path: Path) -> None:
    task = prepared(tmp_path, returning("build=build, **cut(), metric=hits", SHARE))
    facts, target = task.facts, task.parts["valid"].target
    assert (facts.metric, facts.metric_direction) == ("hits", "maximize")
    assert metric_of(facts).greater_is_better
    scores = np.random.default_rng(0).random((20, 2))
    assert score("hits", facts, target, scores) == pytest.approx((scores.argmax(1) == target).mean())
    low, high = bootstrap_interval("hits", facts, target, scores, rounds=50)
    assert low < score("hits", facts, target, scores) < high


def test_a_named_metric_on_the_command_line_comes_first(tmp_path: Path) -> None:
    body = returning("build=build, **cut(), metric=hits, greater_is_better=False", SHARE)
    assert prepared(tmp_path, body).facts.metric_direction == "minimize"
    facts = prepared(tmp_path, body, TaskOptions(metric="f1")).facts
    assert (facts.metric, facts.metric_direction) == ("f1", "maximize")


# ---- own dimensions -----------------------------------------------------------------------


@pytest.fixture
def chosen(tmp_path: Path) -> PreparedTask:
    choices = "{'width': [8, 16], 'depth': {'low': 1, 'high': 4}, 'rate': {'low': 0.01, 'high': 1.0, 'log': True}}"
    return prepared(tmp_path, returning(f"build=lambda width, depth, rate: build(width), **cut(), choices={choices}"))


def test_choices_become_dimensions_of_the_space(chosen: PreparedTask) -> None:
    known = catalogue_for(chosen.facts)
    space = extend(load_space("module", known), build_declarations(chosen.facts), known)
    domains = {d.name: d.domain for d in space.dimensions if d.name.startswith("build.")}
    assert domains == {
        "build.width": Choice(values=(8, 16)),
        "build.depth": Whole(low=1, high=4),
        "build.rate": Real(low=0.01, high=1.0, log=True),
    }
    assert all(space.contains(recipe) for recipe in space.portfolio)
    assert {recipe["build.width"] for recipe in space.portfolio} == {8}
    pinned = pin(space, ["build.depth=3"], known)
    assert {recipe["build.depth"] for recipe in pinned.portfolio} == {3}
    with pytest.raises(OptionError, match=r"build.width"):
        pin(space, ["build.width=9"], known)


def test_choices_count_from_the_training_on(chosen: PreparedTask) -> None:
    known = catalogue_for(chosen.facts)
    space = extend(load_space("module", known), build_declarations(chosen.facts), known)
    first = space.portfolio[0]
    keys = [
        stage_keys(known, recipe, fingerprint="f", seed=0, device="cpu")
        for recipe in (first, first.replace({"build.width": 16}))
    ]
    assert keys[0].prepare == keys[1].prepare
    assert keys[0].train != keys[1].train


def test_a_default_of_build_is_the_default_of_the_dimension(tmp_path: Path) -> None:
    task = prepared(tmp_path, returning("build=build, **cut(), choices={'width': [2, 4, 8], 'outputs': [2]}"))
    assert {d.name: d.default for d in build_declarations(task.facts)} == {"build.width": 8, "build.outputs": 2}


# ---- what training gets -------------------------------------------------------------------

NOISY = """
class Noisy(TensorDataset):
    def __getitem__(self, i):
        a, b = super().__getitem__(i)
        return a + torch.rand(4), b
"""


@pytest.mark.parametrize(
    ("item", "told"),
    [("a, b", True), ("a + torch.rand(4), b", True), ("a, torch.randint(0, 2, ())", False)],
    ids=["always alike", "random inputs", "random targets"],
)
def test_training_rows_are_those_that_the_study_began_with(item: str, told: bool, tmp_path: Path) -> None:
    dataset = NOISY.replace("a + torch.rand(4), b", item)
    facts = prepared(tmp_path, returning("build=build, train=Noisy(x, y), valid=cut()['valid']", dataset)).facts
    assert facts.module_facts is not None
    with training_items(facts) as items:
        assert len(items) == 120
    others = replace(facts, module_facts=replace(facts.module_facts, sample=facts.module_facts.sample and "0" * 64))
    with pytest.raises(StageFailure, match="holds other rows") if told else nullcontext(), training_items(others):
        pass
    fewer = replace(facts, rows={**facts.rows, "train": 121})
    with pytest.raises(StageFailure, match="has 120 rows; when the study began it had 121"), training_items(fewer):
        pass


@pytest.mark.parametrize("noisy", [False, True])
def test_items_that_are_always_alike_are_held(noisy: bool, tmp_path: Path) -> None:
    train = "Noisy(x, y)" if noisy else "TensorDataset(x, y)"
    body = returning(f"build=build, train={train}, valid=cut()['valid'], test=cut()['test']", NOISY)
    task = prepared(tmp_path, body)
    assert task.facts.module_facts is not None
    assert task.facts.module_facts.held is not noisy
    task.save(tmp_path / "snapshot")
    snapshot = Snapshot.open(tmp_path / "snapshot")
    recipe = load_space("module", catalogue_for(task.facts)).portfolio[0]
    (tmp_path / "entry").mkdir()
    train_part, valid_part = snapshot.part("train"), snapshot.part("valid")
    preparer = ModulePreparer()
    preparer.prepare(
        PrepareJob(facts=task.facts, train=train_part, valid=valid_part, recipe=recipe, seed=1), tmp_path / "entry"
    )
    loaded = [
        preparer.load(LoadJob(folder=tmp_path / "entry", facts=task.facts, part_name=name, part=part, recipe=recipe))
        for name, part in (("train", train_part), ("valid", valid_part))
    ]
    assert all(isinstance(part, Arrays) for part in loaded)
    assert [part.rows for part in loaded] == [120, 20]
    assert loaded[0].whole is not noisy
    assert list(loaded[1].model_feed(slice(0, 3))) == ["input"]
    assert np.array_equal(loaded[1].values[0], task.parts["valid"].tensors[0])
