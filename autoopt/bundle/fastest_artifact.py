"""Which artifact of a bundle is the fastest on this machine, which need not be the one that it was exported on."""

import shlex
from collections.abc import Mapping

from autoopt.bundle.load import Bundle
from autoopt.runtime import Latency
from autoopt.values import faster_beyond_noise


def fastest_words(bundle: Bundle, found: Mapping[str, Latency]) -> str:
    """Whether another artifact is faster here than the chosen one, beyond the spread, and how to predict with it.

    `found` has the latency of each, taken in turns.
    """
    chosen = str(bundle.manifest["chosen"])
    others = [role for role in bundle.roles if role != chosen]
    if not others:
        reason = bundle.manifest["twin_reason"]
        return f"{chosen}: no other form is in the bundle{'. ' if reason else ''}{reason}"
    fastest = min(others, key=lambda role: found[role].p50_ms)
    own, other = found[chosen], found[fastest]
    figures = f"{other.p50_ms:.4f} ms against {own.p50_ms:.4f} ms"
    if not faster_beyond_noise(other.p50_ms, other.high_ms, than_median=own.p50_ms, than_low=own.low_ms):
        return f"{chosen}, the chosen one: {fastest} is not faster beyond the spread ({figures})"
    command = f"autoopt predict {shlex.quote(str(bundle.folder))} DATA --artifact {fastest}"
    return (
        f"{fastest} is {own.p50_ms / other.p50_ms:.2f} times faster than {chosen}, the chosen one, beyond the spread "
        f"({figures}): {command}"
    )
