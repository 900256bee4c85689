"""Turns what a person wrote, in YAML or after `--set`, into a value of a domain."""

import math

from autoopt.space.domains import Choice, Domain, Real, Value


def typed(raw: object, domain: Domain) -> Value | None:
    """`raw` from YAML as the domain's own type; None when the domain has no such value. 3.0 is a whole number."""
    if isinstance(domain, Choice):
        return next((v for v in domain.values if _is(raw, v)), None)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not _finite(raw):
        return None
    if isinstance(domain, Real):
        return float(raw) if domain.contains(float(raw)) else None
    return int(raw) if raw == int(raw) and domain.contains(int(raw)) else None


def _finite(raw: int | float) -> bool:
    try:
        return math.isfinite(raw)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _is(raw: object, value: Value) -> bool:
    if isinstance(raw, bool) != isinstance(value, bool):
        return False
    return raw == value


def typed_text(text: str, domain: Domain) -> Value | None:
    """The same for text from a command line: `31`, `1e-3`, `true`, `native`."""
    written = text.strip()
    if isinstance(domain, Choice):
        for value in domain.values:
            if written == str(value) or (isinstance(value, bool) and written.lower() == str(value).lower()):
                return value
        number = _number(written)
        return None if number is None else typed(number, domain)
    number = _number(written)
    return None if number is None else typed(number, domain)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def allowed_text(domain: Domain) -> str:
    """What a domain allows, as a message's mend."""
    return f"Allowed: {domain}."
