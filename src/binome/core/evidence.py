"""Evidence: a cause in one sentence that a person believes, and can check.

    Site strasbourg is lost: 34 of 34 targets silent since 00:47:12, seen from gravelines and paris; strasbourg's own
    lookout is silent too.

The core has no clock and knows no zone: whoever asks gives `clock`, from milliseconds since 1970 to what a person
reads. Names come from files and journals; what is not printable in them is never shown raw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from binome.core.causes import Kind
from binome.core.scope import Cause, Confidence, Manner, Scope
from binome.core.sightlines import BETWEEN

Clock = Callable[[int], str]

_DOUBT = {
    Confidence.CONFIRMED: "",
    Confidence.PARTLY: "; not all of it could be asked",
    Confidence.UNCONFIRMED: "; unconfirmed: fewer than three independent vantage points",
    Confidence.PROVISIONAL: "; unconfirmed: one lookout's own view",
}


def sentence(cause: Cause, clock: Clock) -> str:
    """A cause with its evidence, as one sentence of printable characters."""
    said = _between(cause, clock) if cause.kind in (Kind.NETWORK, Kind.VANTAGE) else _fallen(cause, clock)
    return _printable(f"{said}{_follows(cause)}{_DOUBT[cause.confidence]}.")


def scope_sentence(scope: Scope, clock: Clock) -> str:
    """An open scope: its cause, or how far it has come back."""
    back = len(scope.targets) - len(scope.remaining)
    if not back:
        return sentence(scope.cause, clock)
    still = "is still away" if len(scope.remaining) == 1 else "are still away"
    return _printable(
        f"{_title(scope.cause)} is coming back: {back} of {len(scope.targets)} targets {_are(back)} up again, "
        f"{len(scope.remaining)} {still}; it was {_what(scope.cause)} since {clock(scope.cause.since_ms)}."
    )


def headline(cause: Cause) -> str:
    """A cause in a few words: `Site strasbourg lost`."""
    match cause.kind, cause.manner:
        case Kind.NETWORK, _:
            said = f"Network {cause.subject.replace(BETWEEN, ' to ')} cut"
        case Kind.VANTAGE, Manner.SILENT:
            said = f"Lookout {cause.subject} silent"
        case Kind.VANTAGE, _:
            said = f"Lookout {cause.subject} cut off"
        case _:
            said = f"{_title(cause)} {_what(cause)}"
    return _printable(said)


def _fallen(cause: Cause, clock: Clock) -> str:
    since, seen = clock(cause.since_ms), f"{_seen(cause)}{_lookouts(cause)}"
    if _is_server(cause) and cause.manner is Manner.LOST:
        return f"{_title(cause)} does not answer since {since}, though something on it is up{seen}"
    if cause.of <= 1:
        return f"{_title(cause)} is {_what(cause)} since {since}{seen}"
    noun = "members" if cause.kind is Kind.SERVICE else "targets"
    how = "flapping" if cause.manner is Manner.UNSTEADY else "down" if cause.kind in _WORK else "silent"
    return f"{_title(cause)} is {_what(cause)}: {cause.silent} of {cause.of} {noun} {how} since {since}{seen}"


def _is_server(cause: Cause) -> bool:
    """Whether it is a server's own target, and not what stands on it or elsewhere."""
    return cause.kind is Kind.TARGET and not cause.probe and "@" not in cause.subject


def _between(cause: Cause, clock: Clock) -> str:
    since = clock(cause.since_ms)
    match cause.kind, cause.manner:
        case Kind.NETWORK, _:
            one, _, other = cause.subject.partition(BETWEEN)
            seers = " and ".join(f"{site} sees {other if site == one else one}" for site in cause.seen_from)
            return (
                f"The network between {one} and {other} is cut: {seers} silent since {since} "
                f"({cause.silent} of {cause.of} targets), which is up as seen from elsewhere"
            )
        case _, Manner.SILENT:
            return f"Lookout {cause.subject} is silent since {since}, though its server is up{_seen(cause)}"
        case _ if cause.confidence is Confidence.PROVISIONAL:
            return (
                f"I am cut off, says {cause.subject}: {cause.silent} of {cause.of} targets outside its site are silent "
                f"since {since}, and it hears no other lookout; it calls nothing out there down"
            )
    return (
        f"Lookout {cause.subject} is cut off: it sees {cause.silent} of {cause.of} targets outside its site silent "
        f"since {since}, which are up as the others see them"
    )


_WORK = (Kind.TARGET, Kind.MEMBER, Kind.SERVICE)


def _title(cause: Cause) -> str:
    match cause.kind:
        case Kind.MEMBER:
            service, _, server = cause.subject.partition("@")
            return f"Service {service} on {server}" if server else f"Probe {service}"
        case Kind.TARGET if cause.probe:
            name, at, server = cause.subject.partition("@")
            return f"Name {name}{f', asked at {server},' if server else ''}" if at else f"Probe {name}"
        case Kind.TARGET:
            work, helped, helper = cause.subject.partition("/")
            service, _, server = work.partition("@")
            return f"{helper} of {service} on {server}".capitalize() if helped else f"Server {cause.subject}"
        case Kind.POWER:
            return f"Power feed {cause.subject}"
        case Kind.REGION:
            return f"Region {cause.subject.removeprefix('region:')}"
    return f"{cause.kind.value.capitalize()} {cause.subject}"


def _what(cause: Cause) -> str:
    if cause.manner is Manner.UNSTEADY:
        return "unsteady"
    return "down" if cause.kind in (*_WORK, Kind.SERVER) else "lost"


def _seen(cause: Cause) -> str:
    return f", seen from {_listed(cause.seen_from)}" if cause.seen_from else ""


def _lookouts(cause: Cause) -> str:
    match cause.lookouts:
        case ():
            return ""
        case (_,) if cause.kind is Kind.SERVER:
            return "; its lookout is silent too"
        case (_,):
            return f"; {cause.subject}'s own lookout is silent too"
        case more:
            return f"; {cause.subject}'s own lookouts {_listed(more)} are silent too"


def _follows(cause: Cause) -> str:
    """What cannot work because of it, beside itself."""
    own = cause.subject if cause.kind is Kind.SERVICE else ""
    services = [one for one in cause.services if one != own]
    hurt = f"; {_listed(services)} cannot work" if services else ""
    return f"{hurt}; {'hit' if hurt else 'it hits'}: {_listed(cause.products)}" if cause.products else hurt


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _listed(names: Iterable[str]) -> str:
    *front, last = names
    return f"{', '.join(front)} and {last}" if front else last


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
