"""The databases: Patroni's members, roles, synchronous standby and settings; PostgreSQL's checksums and commits.

The members keep their settings in etcd, where `binome render` reaches once only, when the database is founded: a later
change of the file, or of the settings, is seen here. A setting that is not rendered is not judged, but for the pause.

Who sets `synchronous_commit` below `on` is told of writes that a fire undoes. PostgreSQL keeps that for roles and
databases in a catalogue; a session that sets it for itself cannot be seen from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from binome.core.preflight.check import Check, Name, Question, Seen, Sight
from binome.core.target import Answer
from binome.estate.model import PostgresqlService
from binome.render.patroni import agreed_settings
from binome.render.places import POSTGRESQL_PORT

_ANSWER = "See why its members do not answer: their own checks are above."
_LEADERS = frozenset({"leader", "master", "primary"})
_SYNCHRONOUS = frozenset({"sync_standby", "quorum_standby"})
_RUNNING = frozenset({"running", "streaming"})
_FULL_COMMITS = frozenset({"on", "true", "yes", "1", "remote_apply"})
_WORDS = {"on": "true", "off": "false", "yes": "true", "no": "false"}


class _Member(NamedTuple):
    """A member as Patroni lists it."""

    name: str
    role: str
    state: str
    host: str
    port: str


def checks(sight: Sight) -> Iterator[Check]:
    """The checks of every database of which a member was asked."""
    for name, service in sight.estate.services.items():
        if not isinstance(service, PostgresqlService):
            continue
        patroni = {server: one for server, one in sight.of(name, "/patroni").items() if one.answer is Answer.UP}
        if sight.of(name, "/patroni"):
            yield _members(sight, name, service, patroni)
            yield _roles(name, service, patroni)
            if service.replication == "synchronous" and len(service.on) > 1:
                yield _synchronous(name, patroni)
            yield _settings(name, service, patroni)
        yield from _postgresql(name, sight.of(name))


def _members(sight: Sight, name: str, service: PostgresqlService, patroni: Mapping[str, Seen]) -> Check:
    scope = service.patroni.scope or name
    places = {server: f"{sight.estate.servers[server].address}" for server in service.on}
    expected = f"scope {scope} with " + ", ".join(f"{server} at {place}" for server, place in places.items())
    question, views = Question(Name.PATRONI_MEMBERS, name, expected, ("services", name, "on")), _views(patroni)
    if not views:
        return question.unknown("no member gave the list of members", _ANSWER)
    problems = [
        f"{server} belongs to scope {seen.details['scope']}"
        for server, seen in patroni.items()
        if seen.details.get("scope", scope) not in (scope, "")
    ]
    for members in views.values():
        by_name = {member.name: member for member in members}
        problems += [
            f"{member} is a member, and the file does not say so" for member in by_name if member not in places
        ]
        for server, place in places.items():
            member = by_name.get(server)
            if member is None:
                problems.append(f"{server} is no member")
                continue
            if (member.host, member.port) != (place, str(POSTGRESQL_PORT)):
                problems.append(f"{server} is at {member.host} port {member.port}")
            if member.state not in _RUNNING:
                problems.append(f"{server} is {member.state}")
    remedy = "Start it, or take it out (patronictl list, patronictl remove), or mend `on` in the file."
    return question.answered(problems, remedy)


def _roles(name: str, service: PostgresqlService, patroni: Mapping[str, Seen]) -> Check:
    expected, views = "one primary, the others its standbys, on one timeline", _views(patroni)
    question = Question(Name.PATRONI_ROLES, name, expected, ("services", name, "on"))
    if not views:
        return question.unknown("no member said who is primary", _ANSWER)
    problems = []
    for members in views.values():
        leaders = [member.name for member in members if member.role in _LEADERS]
        if len(leaders) != 1:
            problems.append(f"{len(leaders)} primaries ({', '.join(leaders) or 'none'})")
        problems += [
            f"{one.name} is {one.role}" for one in members if one.role not in {*_LEADERS, *_SYNCHRONOUS, "replica"}
        ]
        for server, seen in patroni.items():
            says = seen.details.get("role")
            if (says == "primary") != (server in leaders):
                problems.append(f"{server} says that it is {says}, and the others say {', '.join(leaders) or 'nobody'}")
    timelines = {server: seen.details.get("timeline") for server, seen in patroni.items()}
    if len({one for one in timelines.values() if one is not None}) > 1:
        problems.append("timelines " + ", ".join(f"{one} on {server}" for server, one in timelines.items()))
    remedy = "Look before you act: patronictl list, and the members' logs. A timeline that lags may need a reinit."
    primary = [member.name for members in views.values() for member in members if member.role in _LEADERS]
    return question.answered(problems, remedy, f"{', '.join(primary[:1])} is primary")


def _synchronous(name: str, patroni: Mapping[str, Seen]) -> Check:
    expected = "a synchronous standby: no write is acknowledged by one alone"
    question = Question(Name.PATRONI_SYNCHRONOUS, name, expected, ("services", name, "replication"))
    listed = [member for members in _views(patroni).values() for member in members]
    if not listed:
        return question.unknown("no member said who is synchronous", _ANSWER)
    problems = []
    standbys = sorted({member.name for member in listed if member.role in _SYNCHRONOUS})
    if not standbys:
        asynchronous = sorted({member.name for member in listed if member.role == "replica"})
        problems = [f"{one} is asynchronous" for one in asynchronous] or ["there is no standby"]
    for server, seen in patroni.items():
        if seen.details.get("role") == "primary" and not seen.details.get("synchronous_standbys"):
            problems.append(f"{server} waits for no standby")
    remedy = (
        "Start the standby, and see that synchronous_mode is on (patroni-settings). Until then the loss of the primary "
        "loses writes."
    )
    return question.answered(problems, remedy, f"{', '.join(standbys)} is synchronous")


def _settings(name: str, service: PostgresqlService, patroni: Mapping[str, Seen]) -> Check:
    question = Question(Name.PATRONI_SETTINGS, name, "the settings that are rendered", ("services", name))
    rendered = dict(_flat(agreed_settings(service), "config"))
    told = {server: seen.details for server, seen in patroni.items() if seen.details.get("config")}
    if not told:
        return question.unknown("no member gave the settings", _ANSWER)
    problems = []
    for details in told.values():
        for key, value in rendered.items():
            short = key.removeprefix("config/").replace("/", ".")
            if key not in details:
                problems.append(f"{short} is not set, and {_word(value)} is rendered")
            elif _word(details[key]) != _word(value):
                problems.append(f"{short} is {_word(details[key])}, and {_word(value)} is rendered")
        if details.get("paused") or details.get("config/pause"):
            problems.append("Patroni is paused: nobody takes over")
    remedy = "Set them: patronictl edit-config, patronictl resume. Those of PostgreSQL may need a restart."
    return question.answered(problems, remedy)


def _postgresql(name: str, seen: Mapping[str, Seen]) -> Iterator[Check]:
    path, on = ("services", name, "on"), "checksums on, so that a page that rots is found"
    for server, one in seen.items():
        question, sums = Question(Name.CHECKSUMS, f"{name}@{server}", on, path), one.details.get("checksums")
        if sums is None:
            yield question.unknown(*_unasked(one))
        else:
            problems = [] if sums == "on" else [f"checksums are {sums}"]
            mend = "Stop the member and run pg_checksums --enable, one after the other, the standby first."
            yield question.answered(problems, mend)
    if not seen:
        return
    question = Question(Name.COMMIT, name, "no role and no database sets synchronous_commit below on", path)
    told = {server: one.details for server, one in seen.items() if one.details.get("weak") is not None}
    if not told:
        yield question.unknown(*_unasked(next(iter(seen.values()))))
        return
    problems = []
    for server, details in told.items():
        if details["weak"]:
            problems.append(f"{details['weak']} set{'s' if details['weak'] == 1 else ''} it: {details['weak_ones']}")
        if details.get("synchronous_commit") not in _FULL_COMMITS:
            problems.append(f"{server} has {details.get('synchronous_commit')} for whoever asked")
    remedy = "ALTER ROLE (or DATABASE) … RESET synchronous_commit, and let what relies on it wait for the standby."
    yield question.answered(problems, remedy)


def _unasked(seen: Seen) -> tuple[str, str]:
    """Why a member of PostgreSQL did not say what only a query tells, and what to do."""
    if seen.answer is not Answer.UP:
        return "it does not answer", _ANSWER
    if "query" in seen.details:
        return f"the query failed: {seen.details['query']}", "Mend the credentials, or let their role log in from here."
    return "no credentials were given", "Give --user and --password, or a probe of kind postgresql `of` this service."


def _views(patroni: Mapping[str, Seen]) -> dict[str, list[_Member]]:
    """Server → the members as it lists them; without those that gave no list."""
    found: dict[str, list[_Member]] = {}
    for server, seen in patroni.items():
        for key, value in seen.details.items():
            words = str(value).split(" ")
            if key.startswith("member/") and len(words) >= 4:
                role, *state, host, port = words
                member = _Member(key.removeprefix("member/"), role, " ".join(state), host, port)
                found.setdefault(server, []).append(member)
    return found


def _flat(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, one in value.items():
        if isinstance(one, Mapping):
            yield from _flat(one, f"{path}/{key}")
        else:
            yield f"{path}/{key}", one


def _word(value: object) -> str:
    """A setting as one word: `on` and true are the same."""
    word = str(value).lower()
    return _WORDS.get(word, word)
