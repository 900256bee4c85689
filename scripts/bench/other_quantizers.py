"""What others make of the same graphs: run by compression.py, each form in a process of its own.

    PYTHON other_quantizers.py FORM FOLDER [SEARCHED CLASSES]

It reads float.onnx and rows.npz (`calibration/INPUT`, `valid/INPUT` and `label`), or LightGBM's model.txt, in FOLDER
and writes FORM.onnx there. SEARCHED: how many points Olive's own search may look at; CLASSES: how many labels there
are. Olive and onnxmltools want an environment of their own (Olive imports `requests` without asking for it):

    pip install olive-ai==0.13.0 requests onnxruntime==1.31.1 torch==2.13.0 onnxmltools lightgbm
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

BATCH_ROWS = 64
os.environ["OLIVE_DISABLE_TELEMETRY"] = "1"


def olive(folder: Path, *_: str) -> None:
    """Static quantization by Olive with its defaults."""
    static = {"type": "OnnxStaticQuantization", "data_config": "calibration"}
    _run(folder, "olive", {"passes": {"quantize": static}})


def olive_search(folder: Path, searched: str, classes: str) -> None:
    """Olive's own search over static and dynamic: the best latency that loses half a per cent of accuracy at most."""
    search = {"execution_order": "joint", "sampler": "tpe", "max_iter": int(searched), "sampler_config": {"seed": 0}}
    more = {"search_strategy": search, "evaluators": _evaluators(int(classes)), "evaluator": "both"}
    _run(
        folder,
        "olive_search",
        more | {"passes": {"quantize": {"type": "OnnxQuantization", "data_config": "calibration"}}},
    )


def _run(folder: Path, name: str, more: dict[str, Any]) -> None:
    import onnx
    from olive.workflows import run

    accelerator = {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
    config = {
        "input_model": {"type": "ONNXModel", "model_path": str(folder / "float.onnx")},
        "systems": {"local": {"type": "LocalSystem", "accelerators": [accelerator]}},
        "host": "local",
        "target": "local",
        "data_configs": [_data(folder, "calibration"), _data(folder, "valid")],
        "cache_dir": str(folder / f"cache-{name}"),
        "output_dir": str(folder / name),
        "log_severity_level": 4,
        **more,
    }
    best = run(config).get_best_candidate()
    onnx.save(onnx.load(best.model_path), folder / f"{name}.onnx")  # in one file, however Olive left it


def _data(folder: Path, part: str) -> dict[str, Any]:
    return {
        "name": part,
        "type": "DataContainer",
        "user_script": str(Path(__file__).with_name("olive_rows.py")),
        "load_dataset_config": {"type": "bench_rows", "path": str(folder / "rows.npz"), "part": part},
        "dataloader_config": {"batch_size": BATCH_ROWS, "drop_last": True},
        "post_process_data_config": {"type": "bench_classes"},
    }


def _evaluators(classes: int) -> dict[str, Any]:
    accuracy = {
        "name": "accuracy_score",
        "metric_config": {"task": "multiclass", "num_classes": classes},
        "priority": 1,
        "higher_is_better": True,
        "goal": {"type": "percent-max-degradation", "value": 0.5},
    }
    latency = {"name": "avg", "priority": 2, "goal": {"type": "percent-min-improvement", "value": 1}}
    metrics = [
        {"name": "accuracy", "type": "accuracy", "data_config": "valid", "sub_types": [accuracy]},
        {"name": "latency", "type": "latency", "data_config": "valid", "sub_types": [latency]},
    ]
    # The type may be left out, says its schema; Olive 0.13 then ends in "'NoneType' object has no attribute 'lower'".
    return {"both": {"type": "OnnxEvaluator", "metrics": metrics}}


def onnxruntime_static(folder: Path, *_: str) -> None:
    """As the runtime's documentation has it: pre-processed, everything else left alone."""
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    with np.load(folder / "rows.npz", allow_pickle=False) as held:
        rows = {n.partition("/")[2]: held[n] for n in held.files if n.startswith("calibration/")}
    count = len(next(iter(rows.values())))
    batches = iter([{n: v[at : at + BATCH_ROWS] for n, v in rows.items()} for at in range(0, count, BATCH_ROWS)])

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, Any] | None:
            return next(batches, None)

    quantize_static(_clean(folder), str(folder / "onnxruntime_static.onnx"), Reader())


def onnxruntime_dynamic(folder: Path, *_: str) -> None:
    """The same, with ranges found at run time."""
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(_clean(folder), str(folder / "onnxruntime_dynamic.onnx"))


def _clean(folder: Path) -> str:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    clean = str(folder / "clean.onnx")
    quant_pre_process(str(folder / "float.onnx"), clean, skip_symbolic_shape=True)
    return clean


def onnxmltools(folder: Path, *_: str) -> None:
    """LightGBM's model the plain way: float32, probabilities as a tensor."""
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = lightgbm.Booster(model_file=str(folder / "model.txt"))
    inputs = [("features", FloatTensorType([None, booster.num_feature()]))]
    model = convert_lightgbm(booster, initial_types=inputs, zipmap=False, target_opset=15)
    (folder / "onnxmltools.onnx").write_bytes(model.SerializeToString())


FORMS: Mapping[str, Callable[..., None]] = {
    made.__name__: made for made in (olive, olive_search, onnxruntime_static, onnxruntime_dynamic, onnxmltools)
}

if __name__ == "__main__":
    form, where, *rest = sys.argv[1:]
    FORMS[form](Path(where), *rest)
