"""Good estates, drawn at random: as the plain data of a file."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

DURATIONS = st.builds(
    "{}{}".format,
    st.integers(1, 10_000) | st.sampled_from(["1.5", "2.25"]),
    st.sampled_from(["ms", "s", "m", "h", "d"]),
)
SIZES = st.builds("{}{}".format, st.integers(0, 4_000), st.sampled_from(["B", "KiB", "MiB", "GiB", "TiB"]))
SHARES = st.decimals(0, 100, places=10).map("{:f}%".format) | st.sampled_from(["99.9%", "99.99%", "100%", "0%"])
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
SENTENCES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=40).filter(
    lambda text: text.strip() and all(character.isprintable() for character in text)
)


def _optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


def _some(names: list[str], least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), min_size=least, unique=True) if names else st.just([])


@st.composite
def estates(draw: st.DrawFn) -> dict[str, Any]:
    """An estate of a few of everything; every reference leads somewhere, and names are unique."""
    names = draw(st.lists(NAMES, min_size=9, max_size=16, unique=True))
    hoster, site, rack, database, link, provider, vault, data, backup, *servers = names
    web = f"{database}-web"
    return {
        "estate": draw(NAMES),
        "hosters": {hoster: {}},
        "sites": {site: draw(_optional(hoster=st.just(hoster), region=NAMES))},
        "domains": {rack: {"kind": "rack", "in": [site]}},
        "servers": {
            server: {"site": site, "address": f"10.0.{index}.1", **draw(_optional(**{"in": _some([rack])}))}
            for index, server in enumerate(servers)
        },
        "services": _services(draw, servers, database, web) if servers else {},
        "links": {link: {"kind": "sms", "providers": {provider: {"host": "sms.example"}}}},
        "products": {f"{link}-shop": {"needs": [link], "objective": draw(_objectives)}},
        "vaults": {vault: {"kind": "directory", "on": servers[0], "path": "/srv/vault"}} if servers else {},
        "data": {data: {"in": database, **draw(_optional(size=SIZES))}} if servers else {},
        "backups": {backup: {"of": data, "method": "dump", "every": draw(DURATIONS), "to": [vault]}} if servers else {},
        "people": draw(_optional(response=DURATIONS)),
        "probes": _probes(draw, database, servers) if servers else {},
        "accept": [
            {"rule": rule, "subject": site, "reason": draw(SENTENCES), "until": str(draw(st.dates()))}
            for rule in draw(st.lists(NAMES, max_size=2))
        ],
    }


def _probes(draw: st.DrawFn, database: str, servers: list[str]) -> dict[str, Any]:
    pace = _optional(every=DURATIONS, timeout=DURATIONS, fall=st.integers(1, 9), rise=st.integers(1, 9))
    expected = _optional(
        status=st.lists(st.integers(100, 599), max_size=3),
        contains=SENTENCES,
        headers=st.just({"X-Site": "gra"}),
        redirects=st.integers(0, 20),
    )
    options = st.dictionaries(NAMES.filter(lambda name: name[0].isalpha()), st.booleans() | st.integers() | SENTENCES)
    answers = _some(["10.0.0.1", "2001:db8::1", "b.example"])
    job = {"kind": "heartbeat", "every": draw(DURATIONS), "token": "env:JOB", **draw(_optional(grace=DURATIONS))}
    return {
        f"{database}-page": {"kind": "http", "url": "https://p.example/x?y", "of": database}
        | draw(pace)
        | draw(expected),
        f"{database}-job": job,
        f"{database}-else": {"kind": "ldap", "on": servers[0], "options": draw(options), **draw(pace)},
        f"{database}-name": {"kind": "dns", "name": "a.example", "expect": draw(answers)},
    }


_objectives = _optional(availability=SHARES, rto=DURATIONS, rpo=DURATIONS)


def _services(draw: st.DrawFn, servers: list[str], database: str, web: str) -> dict[str, Any]:
    options = _optional(
        replication=st.sampled_from(["synchronous", "asynchronous"]), act_after=DURATIONS, cooldown=DURATIONS
    )
    amounts = _optional(load=st.floats(0, 1e14), capacity=st.integers(0, 10**12), port=st.integers(1, 65535))
    return {
        database: {"kind": "postgresql", "on": draw(_some(servers, 1)), **draw(options)},
        web: {"kind": "http", "on": draw(_some(servers, 1)), "needs": database, **draw(amounts)},
    }


def as_file(data: dict[str, Any]) -> bytes:
    """An estate as a file; JSON is YAML."""
    return json.dumps(data, ensure_ascii=False, indent=1).encode()
