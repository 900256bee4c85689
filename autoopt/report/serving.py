"""How an exported artifact is run, in words."""

from collections.abc import Mapping
from typing import Any

from autoopt.runtime import Serving
from autoopt.runtime.fastest import NO_TIME


def served_words(artifact: Mapping[str, Any]) -> str:
    """Of a manifest's artifact: `served by onnxruntime, 2 threads: 1.38 times ...`; '' where nothing was tried."""
    raw = artifact.get("serving", {})
    if not raw:
        return ""
    serving = Serving.parse(raw)
    measured = [t for t in raw["tried"] if "gain_1" in t]
    told = f"served by {serving.words}"
    if serving.plain:
        others = "one other way was not" if len(measured) == 1 else f"none of {len(measured)} other ways was"
        late = sum(t.get("reason") == NO_TIME for t in raw["tried"])
        told += f"; {others} faster" if measured else ""
        return told + (f"; no time was left for {late}" if late else "")
    plain = Serving().words
    return f"{told}: {raw['gain_1']:.2f} times as fast as {plain}, at {raw['batch_rows']} rows {raw['gain_batch']:.2f}"
