"""Every check of a preflight. Those of one answer each are here; what takes several has a module of its own."""

from __future__ import annotations

from binome.core.preflight import agreement, clocks, databases, edges
from binome.core.preflight.asked import waits_for_lookout
from binome.core.preflight.check import Check, Name, Sight, State
from binome.core.target import Answer, Target

_STATES = {Answer.UP: State.GOOD, Answer.DOWN: State.BAD, Answer.UNSURE: State.UNKNOWN}
_REMEDIES = {
    Name.SERVER: "See whether it runs and whether a firewall drops ICMP from here, or mend its address in the file.",
    Name.MEMBER: "Start it, or open its port from here. Where it was moved, mend `on` in the file.",
    Name.PORT: "Start what should listen there, or open the port from here.",
    Name.PROBE: "Mend what it asks, or what the file says of it.",
    Name.CERTIFICATE: "Renew the certificate, for this name and by an authority that is believed, or mend the file.",
    Name.DNS: "Mend the zone at this server, or `expect` in the file.",
}
_UNASKED = "Ask again from where it can be reached, with the rights and the files that this takes."


def judge(sight: Sight) -> tuple[Check, ...]:
    """Every check, the bad ones first, then the unknown ones; within these by the order of `Name` and of the file."""
    found = [
        *(_answer(sight, target) for target in sight.asked if not waits_for_lookout(sight, target)),
        *agreement.checks(sight),
        *databases.checks(sight),
        *edges.checks(sight),
        *clocks.checks(sight),
    ]
    states, names = list(State), list(Name)
    return tuple(sorted(found, key=lambda one: (states.index(one.state), names.index(one.name))))


def _answer(sight: Sight, target: Target) -> Check:
    """Whether one target answered as it should."""
    name = _name(sight, target)
    seen = sight.seen.get(target.name)
    state = _STATES[seen.answer] if seen else State.UNKNOWN
    remedy = {State.GOOD: "", State.BAD: _REMEDIES[name], State.UNKNOWN: _UNASKED}[state]
    said = seen.said if seen else "it was not asked in time"
    return Check(name, target.name, state, _expected(name, target), said, remedy, _path(sight, target))


def _name(sight: Sight, target: Target) -> Name:
    by_kind = {"tls": Name.CERTIFICATE, "dns": Name.DNS}
    if target.kind in by_kind:
        return by_kind[target.kind]
    if target.name in sight.estate.probes:
        return Name.PROBE
    if target.name in sight.estate.servers:
        return Name.SERVER
    return Name.PORT if target.kind == "tcp" else Name.MEMBER


def _expected(name: Name, target: Target) -> str:
    where = f"{target.address or 'the resolver'}{f' port {target.port}' if target.port else ''}"
    match name:
        case Name.CERTIFICATE:
            host = target.options.get("host", target.address)
            return f"a certificate for {host}, good for {target.options['days']} days, at {where}"
        case Name.DNS:
            expect = ", ".join(map(str, target.options.get("expect", ()))) or "an answer"
            return f"{expect} for {target.options['name']} from {where}"
        case _:
            return f"an answer of {target.kind} at {where}"


def _path(sight: Sight, target: Target) -> tuple[str | int, ...]:
    """The key of the file that a target comes from."""
    estate, base = sight.estate, target.name.partition(":")[0]
    if base in estate.probes:
        return ("probes", base)
    if base in estate.servers:
        return ("servers", base)
    if target.kind == "dns":
        return ("names", str(target.options["name"]))
    if target.service:
        return ("services", target.service, "on")
    return ("lookout", "on")
