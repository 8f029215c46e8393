"""What no single record can see: names shared by two things, one address on two servers, circles.

These checks read the plain data, not the model, so that they speak also when some records are wrong; what has
the wrong shape is passed over here, because the model reports it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from binome.estate.model import Names
from binome.estate.problem import Place, Problem, shown
from binome.estate.text import Document

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
)
"""The sections whose names must differ from each other."""


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
    yield from _shared_names(document)
    yield from _shared_addresses(document)
    yield from _circles(document, "needs", {"services": "needs"})
    yield from _circles(document, "in", {"domains": "in"})


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(one) for one in values if isinstance(one, str)]


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
    for server, options in _mapping(document.data.get("servers")).items():
        text = _mapping(options).get("address")
        try:
            address = ipaddress.ip_address(text) if isinstance(text, str) else None
        except ValueError:
            continue
        if address is not None and first.setdefault(address, server) != server:
            yield Problem(
                document.marks.find(("servers", server, "address")),
                f"{address}, which is the address of {first[address]} too",
                "an address of its own for each server",
                "Correct one of the two.",
            )


def _circles(document: Document, word: str, sections: Mapping[str, str]) -> Iterator[Problem]:
    """Follows one key from record to record, without recursion, and reports each circle once, where it closes."""
    edges: dict[str, list[str]] = {}
    places: dict[str, Place] = {}
    for section, key in sections.items():
        for name, options in _mapping(document.data.get(section)).items():
            edges[name] = _strings(_mapping(options).get(key))
            places[name] = document.marks.find((section, name, key))
    finished: set[str] = set()
    for start in edges:
        path: list[str] = []
        on_path: set[str] = set()
        ahead = [(start, False)]
        while ahead:
            name, leaving = ahead.pop()
            if leaving:
                on_path.discard(path.pop())
                finished.add(name)
            elif name in on_path:
                circle = [*path[path.index(name) :], name]
                yield Problem(
                    places[path[-1]],
                    f"a circle of `{word}`: {' → '.join(circle)}",
                    "dependencies that end somewhere",
                    f"Remove one `{word}` of the circle.",
                )
            elif name in edges and name not in finished:
                path.append(name)
                on_path.add(name)
                ahead.append((name, True))
                ahead.extend((follower, False) for follower in edges[name])
