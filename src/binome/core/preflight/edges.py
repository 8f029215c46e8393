"""The edges: HAProxy's backends against those that are rendered, and whether they lead to what lives.

A web server and a member that is read from are up at every edge; of the members that are written to exactly one is, the
primary. An edge that was edited by hand, or rendered from an older file, sends traffic where the file does not say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from binome.core.preflight.check import Check, Name, Question, Seen, Sight
from binome.core.target import Answer
from binome.estate.model import HaproxyService, HttpService
from binome.render import RenderError
from binome.render.haproxy import backends

_REMEDY = "Render it anew and reload it: binome render {} --into DIR, or write into the file what was meant."


def checks(sight: Sight) -> Iterator[Check]:
    """The checks of every edge that was asked."""
    for name, service in sight.estate.services.items():
        if not isinstance(service, HaproxyService):
            continue
        path = ("services", name, "routes" if service.routes else "on")
        for server, seen in sight.of(name).items():
            subject = f"{name}@{server}"
            alike = Question(Name.BACKENDS, subject, "the backends that are rendered", path)
            alive = Question(Name.STATES, subject, "all servers up; of those written to only the primary", path)
            try:
                rendered = backends(sight.estate, name, service)
            except RenderError as error:
                yield alike.unknown(f"the file cannot be rendered: {error}", "Mend the file.")
                continue
            if seen.answer is not Answer.UP:
                why, remedy = "it gave no statistics", "See why it does not answer: its own check is above."
                yield alike.unknown(why, remedy)
                yield alive.unknown(why, remedy)
                continue
            yield _backends(alike, server, rendered, seen)
            yield _states(alive, sight, rendered, seen)


def _backends(question: Question, server: str, rendered: Mapping[str, Mapping[str, str]], seen: Seen) -> Check:
    problems = []
    servers = _servers(seen)
    found = {key for key in seen.details if "/" not in key and not key.startswith("clock_")}
    problems += [f"there is a backend {name}" for name in sorted(found - rendered.keys())]
    problems += [f"there is no backend {name}" for name in rendered if name not in found]
    told = True
    for name, members in rendered.items():
        if name not in found:
            continue
        there = servers.get(name, {})
        problems += [f"{name} has a server {one} at {there[one] or '?'}" for one in there if one not in members]
        for member, place in members.items():
            if member not in there:
                problems.append(f"{name} has no server {member}")
            elif not there[member]:
                told = False
            elif there[member] != place:
                problems.append(f"{name} has {member} at {there[member]}, not at {place}")
    if not told and not problems:
        why = "the names are those that are rendered; its statistics do not show addresses"
        return question.unknown(why, _REMEDY.format(server))
    return question.answered(problems, _REMEDY.format(server))


def _states(question: Question, sight: Sight, rendered: Mapping[str, Mapping[str, str]], seen: Seen) -> Check:
    problems = []
    for name, members in rendered.items():
        states = {member: str(seen.details.get(f"{name}/{member}", "not there")) for member in members}
        living = [member for member, state in states.items() if state.startswith("UP")]
        written_to = name in sight.estate.services and not isinstance(sight.estate.services[name], HttpService)
        if not written_to:
            problems += [f"{name}: {member} is {states[member]}" for member in members if member not in living]
            continue
        primary = _primary(sight, name)
        if len(living) != 1:
            problems.append(f"{name}: {len(living)} servers are up ({', '.join(living) or 'none'})")
        elif primary and living != [primary]:
            problems.append(f"{name}: {living[0]} is up, and {primary} is the primary")
    remedy = "See the member's own check, and what its health check answers to this edge."
    return question.answered(problems, remedy)


def _primary(sight: Sight, service: str) -> str:
    """The one member that says that it is primary; empty where that is not known."""
    found = [server for server, one in sight.of(service, "/patroni").items() if one.details.get("role") == "primary"]
    return found[0] if len(found) == 1 else ""


def _servers(seen: Seen) -> dict[str, dict[str, str]]:
    """Backend → server → address with port, empty where it is not told."""
    found: dict[str, dict[str, str]] = {}
    for key in seen.details:
        backend, _, server = key.partition("/")
        if server and "/" not in server:
            found.setdefault(backend, {})[server] = str(seen.details.get(f"{key}/address", ""))
    return found
