"""What no single value can see: keys that contradict each other, names and addresses used twice, circles.

These checks read the plain data, not the model, so that they speak also when some records are wrong; what has
the wrong shape is passed over here, because the model reports it.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from binome.estate.probe_keys import COMMON_PROBE_KEYS, FOREIGN_PROBE_KEYS, NEEDED_PROBE_KEYS, PROBE_KEYS
from binome.estate.problem import Place, Problem
from binome.estate.references import Names
from binome.estate.text import Document, Marks
from binome.shown import shown

ONE_SPACE = (
    "hosters",
    "sites",
    "domains",
    "servers",
    "services",
    "links",
    "products",
    "vaults",
    "data",
    "backups",
    "probes",
)
"""The sections whose names must differ from each other."""


_NESTED = (dict, list)
_Node = tuple[str, str]  # a section, and a name in it


def names_of(data: Mapping[str, Any]) -> Names:
    """The names that each section defines; of `people` its contacts and senders; the sections that are subjects."""
    sections = (*ONE_SPACE, "names")
    people = _mapping(data.get("people"))
    names = {section: frozenset(_mapping(data.get(section))) for section in sections}
    names["sections"] = frozenset({"lookout", "people"} & data.keys())
    names["contacts"] = frozenset(_mapping(people.get("contacts")))
    names["senders"] = frozenset(_mapping(people.get("senders")))
    providers = (_mapping(_mapping(link).get("providers")) for link in _mapping(data.get("links")).values())
    names["providers"] = frozenset(name for provider in providers for name in provider)
    return names


def check(document: Document) -> Iterator[Problem]:
    """Every problem of the file as a whole."""
    yield from _names_given_twice(document)
    yield from _homeless_servers(document)
    yield from _needs_of_too_many(document)
    yield from _shared_ports(document)
    yield from _half_logins(document)
    yield from _unreachable_providers(document)
    yield from _probes(document)
    yield from _overrides_that_end_first(document)
    yield from _unreadable_templates(document)
    yield from _shared_names(document)
    yield from _shared_addresses(document)
    yield from _circles(document, "needs", {("services", "needs"): ("services",)})
    yield from _circles(document, "in", _PLACES)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> Iterator[tuple[int, str]]:
    """The names in a list, or the one that stands without brackets, each with its index."""
    for index, one in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(one, str):
            yield index, one


def _records(document: Document, section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, record in _mapping(document.data.get(section)).items():
        if isinstance(record, dict):
            yield name, record


def _names_given_twice(document: Document) -> Iterator[Problem]:
    """A list of names has each of them once, wherever it stands."""
    ahead: list[tuple[str, Any, Marks]] = [("the file", document.data, document.marks)]
    while ahead:
        name, value, marks = ahead.pop()
        if isinstance(value, dict):
            ahead.extend((key, below, marks.children[key]) for key, below in value.items() if type(below) in _NESTED)
            continue
        first: set[str] = set()
        for index, one in enumerate(value):
            if type(one) in _NESTED:
                ahead.append((name, one, marks.children[index]))
            elif isinstance(one, str) and one in first:
                found = f"`{shown(name)}` names {shown(one)} a second time"
                yield Problem(marks.children[index].place, found, "every name once", "Remove one.")
            elif isinstance(one, str):
                first.add(one)


def _homeless_servers(document: Document) -> Iterator[Problem]:
    for name, server in _records(document, "servers"):
        if server.get("site") is None and server.get("in") in (None, []):
            yield Problem(
                document.marks.find(("servers", name), key=True),
                f"{shown(name)} has neither `site` nor `in`",
                "where the server stands",
                "Add site: and the name of a site.",
            )


def _needs_of_too_many(document: Document) -> Iterator[Problem]:
    for name, service in _records(document, "services"):
        need, members = service.get("need"), len({member for _, member in _strings(service.get("on"))})
        if type(need) is int and need > members > 0:
            yield Problem(
                document.marks.find(("services", name, "need")),
                f"`need` is {need}, and {shown(name)} has {members} member{'s' if members > 1 else ''}",
                "at most the number of members",
                "Lower need, or add members under on.",
            )


def _shared_ports(document: Document) -> Iterator[Problem]:
    for name, service in _records(document, "services"):
        first: dict[int, Place] = {}
        for key in ("routes", "reads"):
            for target, port in _mapping(service.get(key)).items():
                place = document.marks.find(("services", name, key, target))
                if type(port) is int and first.setdefault(port, place) != place:
                    yield Problem(
                        place,
                        f"port {port} a second time in {shown(name)} (first at line {first[port].line})",
                        "a port of its own for each route",
                        "Change one.",
                    )


def _half_logins(document: Document) -> Iterator[Problem]:
    for name, service in _records(document, "services"):
        given = [key for key in ("user", "password") if service.get(key) is not None]
        if service.get("kind") == "etcd" and len(given) == 1:
            other = "password" if given == ["user"] else "user"
            yield Problem(
                document.marks.find(("services", name, given[0]), key=True),
                f"{shown(name)} has a `{given[0]}` and no `{other}`",
                "both, or neither",
                f"Add {other}, or remove {given[0]}.",
            )


def _unreachable_providers(document: Document) -> Iterator[Problem]:
    for link, options in _records(document, "links"):
        for name, provider in _mapping(options.get("providers")).items():
            if not isinstance(provider, dict) or (provider.get("url") is None) != (provider.get("host") is None):
                continue
            both = provider.get("url") is not None
            yield Problem(
                document.marks.find(("links", link, "providers", name), key=True),
                f"{shown(name)} has {'both `url` and `host`' if both else 'neither `url` nor `host`'}",
                "one of them",
                "Remove one." if both else "Add the one by which it is reached.",
            )


def _probes(document: Document) -> Iterator[Problem]:
    """What each kind of probe needs, and what it has no use for: an expectation that nobody checks is none."""
    addressed = {name for name, server in _records(document, "servers") if server.get("address") is not None}
    for name, probe in _records(document, "probes"):
        kind = probe.get("kind")
        if not isinstance(kind, str):
            continue
        known = PROBE_KEYS.get(kind, FOREIGN_PROBE_KEYS)
        every = {key for keys in (*PROBE_KEYS.values(), FOREIGN_PROBE_KEYS) for key in keys}
        for key, value in probe.items():
            if key in every and key not in known and value not in (None, [], {}):
                yield Problem(
                    document.marks.find(("probes", name, key), key=True),
                    f"`{key}`, which a probe of kind {shown(kind)} has no use for",
                    f"one of {', '.join((*COMMON_PROBE_KEYS, *known))}",
                    "Remove it.",
                )
        place = document.marks.find(("probes", name), key=True)
        for key in NEEDED_PROBE_KEYS.get(kind, ()):
            if probe.get(key) is None:
                expected = f"`{key}`, which a probe of kind {kind} needs"
                yield Problem(place, f"{shown(name)} has no `{key}`", expected, f"Add {key}:.")
        placed = any(probe.get(key) is not None for key in ("address", "host")) or probe.get("on") in addressed
        if "address" in known and kind in PROBE_KEYS and kind != "dns" and not placed:
            found = f"{shown(name)} has neither `address` nor `host`, and is not on a server that has an address"
            yield Problem(place, found, "where it is to be asked", "Add address:, host: or on:.")


def _overrides_that_end_first(document: Document) -> Iterator[Problem]:
    overrides = _mapping(_mapping(document.data.get("people")).get("rota")).get("overrides")
    for index, override in enumerate(overrides if isinstance(overrides, list) else []):
        begin, end = _mapping(override).get("from"), _mapping(override).get("until")
        if isinstance(begin, str) and isinstance(end, str) and begin >= end:  # so written, they sort by time
            yield Problem(
                document.marks.find(("people", "rota", "overrides", index, "until")),
                f"`until` is {shown(end)}, and `from` is {shown(begin)}",
                "an end after the beginning",
                "Correct one of the two.",
            )


def _unreadable_templates(document: Document) -> Iterator[Problem]:
    """What is sent to a provider, and what is looked for in its answer, is tried before the night that needs it."""
    for name, sender in _mapping(_mapping(document.data.get("people")).get("senders")).items():
        path = ("people", "senders", name)
        body, pattern = _mapping(sender).get("body"), _mapping(_mapping(sender).get("accepted")).get("matches")
        is_json = _mapping(sender).get("format", "json") == "json" and _mapping(sender).get("method") != "GET"
        if isinstance(body, str) and is_json:
            try:
                json.loads(body)
            except (ValueError, RecursionError) as error:
                remedy = "Write JSON, or format: form."
                found = f"`body` of {shown(name)} is no JSON ({shown(str(error))})"
                yield Problem(document.marks.find((*path, "body")), found, "a JSON document", remedy)
        if isinstance(pattern, str):
            try:
                re.compile(pattern)
            except (re.error, RecursionError, OverflowError) as error:
                found = f"`matches` of {shown(name)} is no pattern ({shown(str(error))})"
                place = document.marks.find((*path, "accepted", "matches"))
                yield Problem(place, found, "a regular expression", "Correct it, or name a plain word.")


def _shared_names(document: Document) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for section in ONE_SPACE:
        for name in _mapping(document.data.get(section)):
            if name in first:
                yield _shared(document, name, (section, name), first[name])
            else:
                first[name] = section
    for link, options in _mapping(document.data.get("links")).items():
        for name in _mapping(_mapping(options).get("providers")):
            domain = _mapping(_mapping(document.data.get("domains")).get(name))
            if name in first and domain.get("kind") != "provider":
                yield _shared(document, name, ("links", link, "providers", name), first[name])


def _shared(document: Document, name: str, path: tuple[str, ...], section: str) -> Problem:
    line = document.marks.find((section, name), key=True).line
    return Problem(
        document.marks.find(path, key=True),
        f"the name {shown(name)}, which stands under {section} too (line {line})",
        "a name that nothing else in the file has",
        "Rename one.",
    )


def _shared_addresses(document: Document) -> Iterator[Problem]:
    first: dict[Any, str] = {}
    for server, options in _records(document, "servers"):
        text = options.get("address")
        try:
            address = ipaddress.ip_address(text) if isinstance(text, str) else None
        except ValueError:
            continue
        address = getattr(address, "ipv4_mapped", None) or address
        if address is not None and first.setdefault(address, server) != server:
            place, where = (document.marks.find(("servers", name, "address")) for name in (server, first[address]))
            if place == where:  # two servers that are one record, by an alias
                place = document.marks.find(("servers", server), key=True)
            yield Problem(
                place,
                f"{address}, which is the address of {shown(first[address])} too (line {where.line})",
                "an address of its own for each server",
                "Correct one of the two.",
            )


_PLACES = {
    ("hosters", "in"): ("domains",),
    ("sites", "hoster"): ("hosters",),
    ("sites", "in"): ("domains",),
    ("domains", "in"): ("domains", "sites", "hosters"),
}


def _circles(document: Document, word: str, keys: Mapping[tuple[str, str], tuple[str, ...]]) -> Iterator[Problem]:
    """Follows keys (of a section, into sections) without recursion, and reports each circle once, where it closes."""
    edges = _edges(document, keys)
    finished: set[_Node] = set()
    for start in edges:
        path: list[_Node] = []
        position: dict[_Node, int] = {}
        ahead = [(start, False)]
        while ahead:
            node, leaving = ahead.pop()
            if leaving:
                del position[path.pop()]
                finished.add(node)
            elif node in position:
                yield Problem(
                    document.marks.find(edges[path[-1]][node]),
                    f"a circle of `{word}`: {_arrows(path, position[node])}",
                    f"{'dependencies' if word == 'needs' else 'places'} that end somewhere",
                    f"Remove one `{word}` of the circle.",
                )
            elif node in edges and node not in finished:
                position[node] = len(path)
                path.append(node)
                ahead.append((node, True))
                ahead.extend((end, False) for end in edges[node])


def _edges(
    document: Document, keys: Mapping[tuple[str, str], tuple[str, ...]]
) -> dict[_Node, dict[_Node, tuple[str | int, ...]]]:
    """What each record names by these keys, and where in the file it does."""
    edges: dict[_Node, dict[_Node, tuple[str | int, ...]]] = {}
    for (section, key), sections in keys.items():
        for name, record in _records(document, section):
            ends = edges.setdefault((section, name), {})
            for index, end in _strings(record.get(key)):
                for target in sections:
                    if end in _mapping(document.data.get(target)):
                        ends.setdefault((target, end), (section, name, key, index))
    return edges


def _arrows(path: list[_Node], first: int) -> str:
    """The circle from the `first` node of `path` to its end and back, on one line; a long one without its middle."""
    between = len(path) - first - 5
    nodes = path[first:] if between <= 1 else [*path[first : first + 3], ("", f"({between} more)"), *path[-2:]]
    return " → ".join(shown(name) for _, name in (*nodes, path[first]))
