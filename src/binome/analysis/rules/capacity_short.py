"""Alive and too slow: what remains of a service does not carry its peak."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.losses import bits
from binome.analysis.outcome import Cause, required_for_load

SUBJECTS = ("services",)


def findings(context: Context) -> Iterator[Found]:
    """One finding a service."""
    platform, singles = context.platform, context.survey.singles
    for name, service in platform.estate.services.items():
        if service.load is None or service.capacity is None:
            continue
        needed, path = required_for_load(service), ("services", name, "capacity")
        more = (
            f"Add members in other places: {needed} must carry {service.load:g}"
            if service.capacity
            else "Say what a member carries"
        )
        if needed > len(service.on):
            have = len(service.on) * service.capacity
            carry = "only member carries" if len(service.on) == 1 else f"{len(service.on)} members carry"
            message = f"With nothing lost its {carry} {have:g} of {service.load:g} at peak."
            yield Found(Severity.ERROR, name, path, message, Remedy(f"{more}."))
            continue
        short = next((effect.lost for effect in singles.of(name) if effect.cause is Cause.SHORT), 0)
        if not short:
            continue
        lost = {singles.losses.losses[position][0] for position in bits(short)}
        inner = platform.domains.innermost(lost)
        where = platform.domains.title(inner[0])
        after = sum(not platform.domains.holds(inner[0], one) for one in service.on) * service.capacity
        message = (
            f"Without {where} it carries {after:g} of {service.load:g} at peak: slow for everybody, at the worst time."
        )
        yield Found(Severity.WARNING, name, path, message, Remedy(f"{more} after any loss."))
