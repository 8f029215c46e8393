"""A majority in one place: the loss of it ends all agreement, and with it every takeover, though servers live on.

An etcd needs an odd number of members in at least three places. With one or two members each server's loss is already
the loss of the majority.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate, placement
from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import Platform, required
from binome.estate.model import AnyService

SUBJECTS = ("services",)

_PRECEDENT = (
    "In November 2020 a switch that half worked kept an etcd of Cloudflare's from agreeing: for 6 h 33 min its API "
    "answered as few as 75 % of the requests."
)


def findings(context: Context) -> Iterator[Found]:
    """One finding an agreement."""
    platform = context.platform
    for name, service in platform.estate.services.items():
        if service.kind != "etcd":
            continue
        need, path = required(service), ("services", name, "on")
        if need == len(service.on):
            yield Found(
                Severity.ERROR,
                name,
                path,
                f"{'Its only member' if need == 1 else f'Every one of its {need} members'} must live: the loss of any "
                "one server ends every takeover, and Patroni stops the primary's writes.",
                Remedy("Give it three members, each in another site."),
                service.on,
            )
            continue
        places = fate.shared(platform, service.on, need)
        if places:
            yield Found(
                fate.severity(platform, places),
                name,
                path,
                f"{_why(platform, service, places)} its loss ends every takeover, and Patroni stops the writes of a "
                f"primary that lives elsewhere.  {_PRECEDENT}",
                _remedy(platform, name, places),
                tuple(places),
            )


def _even(service: AnyService) -> bool:
    return service.need is None and len(service.on) % 2 == 0


def _why(platform: Platform, service: AnyService, places: list[str]) -> str:
    where = fate.titles(platform, places)
    if _even(service):
        members = len(service.on)
        which = f"{where} each hold" if len(places) > 1 else f"{where} holds"
        which = f"{which[:1].upper()}{which[1:]}"
        return f"{which} {members // 2} or more of {members} members, and {required(service)} must agree:"
    return f"A majority stands in {where}:"


def _remedy(platform: Platform, name: str, places: list[str]) -> Remedy:
    if not _even(platform.estate.services[name]):
        words = f"Move a member out of {fate.titles(platform, places)}; three sites need one each."
        return placement.spread(platform, name, places, words)
    words = "An even number gains nothing over one less: give it three members, or five, no two of them in one place."
    members = placement.odd(platform, name)
    return placement.manned(platform, name, members, words) if members else Remedy(words)
