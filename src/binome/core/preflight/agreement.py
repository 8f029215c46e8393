"""etcd's members, where they stand, and whether all follow one leader.

A member is recognised by the address of its peer URL: that is what carries votes, and what says in which site the vote
lies. A name in a peer URL says nothing of that, and is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from binome.core.preflight.check import Check, Name, Question, Seen, Sight
from binome.core.target import Answer
from binome.estate.model import EtcdService

_EVERYBODY = "See why its members do not answer: their own checks are above."


class _Member(NamedTuple):
    """A member as the members list it: `hosts` are those of its peer URLs."""

    identity: str
    name: str
    hosts: tuple[str, ...]


def checks(sight: Sight) -> Iterator[Check]:
    """The checks of every etcd service of which a member was asked."""
    for name, service in sight.estate.services.items():
        seen = sight.of(name)
        if isinstance(service, EtcdService) and seen:
            answers = {server: one for server, one in seen.items() if one.answer is Answer.UP}
            yield _members(sight, name, service, answers)
            yield _leader(name, answers)


def _members(sight: Sight, name: str, service: EtcdService, answers: Mapping[str, Seen]) -> Check:
    servers = sight.estate.servers

    def at(server: str) -> str:
        return f"{server} in {servers[server].site or 'no site'}"

    expected = "the members " + ", ".join(at(server) for server in service.on)
    lists = {server: _listed(seen) for server, seen in answers.items()}
    told = {server: members for server, members in lists.items() if members}
    question = Question(Name.ETCD_MEMBERS, name, expected, ("services", name, "on"))
    if not told:
        return question.unknown("no member gave the list of members", _EVERYBODY)
    by_address = {one.address: server for server, one in servers.items() if one.address}
    problems, unclear = [], []
    for teller, members in told.items():
        found: set[str] = set()
        for member in members:
            stands = {by_address[host] for host in member.hosts if host in by_address}
            word = member.name if member.name != "-" else f"one that never ran ({member.identity})"
            if stands:
                found |= stands
                problems += [f"{at(one)} is a member, and the file does not say so" for one in stands - {*service.on}]
                if member.name == "-":
                    problems.append(f"the member for {', '.join(sorted(stands))} was added and never ran")
            elif member.name in servers and not all(_is_address(host) for host in member.hosts):
                found.add(member.name)
                unclear.append(f"{member.name} stands at {' '.join(member.hosts)}, which is no address")
            else:
                hosts = " ".join(member.hosts) or "no address"
                problems.append(f"{word} at {hosts} is a member, and no server of the file has that address")
        problems += [f"{at(server)} is no member, says {teller}" for server in service.on if server not in found]
    if unclear and not problems:
        remedy = "Give it a peer URL with its address, as `binome render` does."
        return question.unknown("; ".join(dict.fromkeys(unclear)), remedy)
    remedy = "Add or remove members (etcdctl member list, add, remove), or mend `on` and addresses in the file."
    return question.answered(problems, remedy)


def _leader(name: str, answers: Mapping[str, Seen]) -> Check:
    question = Question(Name.ETCD_LEADER, name, "one leader, which every member follows", ("services", name))
    names = {member.identity: member.name for seen in answers.values() for member in _listed(seen)}
    follows = {server: str(seen.details["leader"]) for server, seen in answers.items() if seen.details.get("leader")}
    if not follows:
        return question.unknown("no member said who leads", _EVERYBODY)
    if len(set(follows.values())) == 1:
        (leader,) = set(follows.values())
        return question.answered((), "", f"{names.get(leader, leader)} leads")
    problems = [f"{server} follows {names.get(leader, leader)}" for server, leader in follows.items()]
    remedy = "Ask again: an election may have been under way. Two clusters have two lists of members, see etcd-members."
    return question.answered(problems, remedy)


def _listed(seen: Seen) -> list[_Member]:
    """The members as one of them lists them; none where it did not."""
    found = []
    for key, value in seen.details.items():
        if key.startswith("member/"):
            name, *urls = str(value).split(" ")
            found.append(_Member(key.removeprefix("member/"), name, tuple(_host(url) for url in urls)))
    return found


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _is_address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()
