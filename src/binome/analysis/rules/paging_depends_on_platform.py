"""The alarm on the burning wall: every way to page people runs through what the page would be about.

A sender depends on the platform where its host is that of a link's provider, of one of the estate's internet names or
servers, or where it stands in a fault domain of the platform's servers. One way that does not is enough.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import Platform
from binome.estate.model import Provider, Sender

SUBJECTS = (
    "senders",
    "people",
)


def findings(context: Context) -> Iterator[Found]:
    """One finding for each sender, if none is independent."""
    people = context.platform.estate.people
    if people.contacts and not people.senders:
        message = "Nobody is ever paged: there are contacts, and no sender that a page could go through."
        remedy = Remedy("Add a sender, and a route through it: senders: {mail: {kind: smtp, host: …}}.")
        yield Found(Severity.ERROR, "people", ("people", "contacts"), message, remedy)
        return
    if people.contacts and not people.routes:
        message = "No route says by which sender a page goes, and when the next is tried."
        remedy = Remedy(f"Add one: routes: [{{via: {next(iter(people.senders))}}}].")
        yield Found(Severity.WARNING, "people", ("people", "senders"), message, remedy)
    used = dict.fromkeys([route.via for route in people.routes] or people.senders)
    reasons = {name: _dependence(context.platform, people.senders[name]) for name in used}
    if not all(reasons.values()):
        return
    for name, reason in reasons.items():
        yield Found(
            Severity.ERROR,
            name,
            ("people", "senders", name),
            f"{reason}, and there is no other way to page: when it fails nobody hears of it.  In October 2021 Roblox "
            "was away for 73 hours, and its monitoring hung on the very cluster that had failed.",
            Remedy("Add a route through a sender that shares nothing with the platform, for example mail elsewhere."),
        )


def _dependence(platform: Platform, sender: Sender) -> str:
    """Why a sender falls with the platform; empty where it does not."""
    estate, host = platform.estate, _host(sender)
    for link, options in estate.links.items():
        for name, provider in options.providers.items():
            if host and _same(host, _host(provider)):
                return f"It pages through {name}, the provider of {link}"
    for name in estate.names:
        if host and _same(host, name):
            return f"It pages through {name}, which the platform itself serves"
    for name, server in estate.servers.items():
        if host and host == server.address:
            return f"It pages through {name}, a server of the platform"
    places = {domain for domain in sender.in_ for domain in (domain, *platform.domains.around(domain))}
    shared = next(
        (one for one in sorted(places) if any(map(platform.domains.is_server, platform.domains.inside(one)))), ""
    )
    return f"It stands in {platform.domains.title(shared)}, with servers of the platform" if shared else ""


def _host(reached: Sender | Provider) -> str:
    host = (
        reached.host or (reached.url or "").partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
    )
    return host.lower().rstrip(".")


def _same(one: str, other: str) -> bool:
    """Whether one host is the other, or below it."""
    other = other.lower()
    return bool(other) and (one == other or one.endswith(f".{other}"))
