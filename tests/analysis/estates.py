"""Random small estates: every kind of thing, nested and shared domains, circles of `in` left out."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from binome.estate import Estate
from binome.estate.whole import names_of

Draw = Any
DURATION = st.sampled_from(["0s", "500ms", "30s", "10m"])


def some(draw: Draw, names: list[str], least: int = 0, most: int = 4) -> list[str]:
    if not names:
        return []
    chosen: list[str] = draw(
        st.lists(st.sampled_from(names), min_size=min(least, len(names)), max_size=most, unique=True)
    )
    return chosen


def maybe(draw: Draw, record: dict[str, Any], key: str, values: st.SearchStrategy[Any]) -> None:
    if draw(st.booleans()):
        record[key] = draw(values)


@st.composite
def estates(draw: Draw, with_products: bool | None = None) -> Estate:
    data: dict[str, Any] = {"hosters": {f"h{n}": {} for n in range(draw(st.integers(0, 2)))}}
    hosters = list(data["hosters"])
    data["sites"] = {f"site{n}": {} for n in range(draw(st.integers(1, 4)))}
    for site in data["sites"].values():
        maybe(draw, site, "region", st.sampled_from(["r0", "r1", "site0"]))
        if hosters:
            maybe(draw, site, "hoster", st.sampled_from(hosters))
    outer = [*hosters, *data["sites"]]
    data["domains"] = {"registrar0": {"kind": "registrar"}, "registrar1": {"kind": "registrar"}}
    for n in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["building", "power", "rack", "hypervisor", "carrier", "account"]))
        data["domains"][f"d{n}"] = {"kind": kind, "in": some(draw, outer, most=2)}
        outer.append(f"d{n}")
    inner = [name for name in data["domains"] if name.startswith("d")]
    data["servers"] = {}
    for n in range(draw(st.integers(1, 7))):
        server: dict[str, Any] = {"in": some(draw, inner, most=2)}
        if not server["in"] or draw(st.booleans()):
            server["site"] = draw(st.sampled_from(list(data["sites"])))
        data["servers"][f"s{n}"] = server
    servers = list(data["servers"])
    data["links"] = {}
    for n in range(draw(st.integers(0, 2))):
        providers = some(draw, ["p0", "p1", "p2"], most=2)
        data["links"][f"link{n}"] = {
            "kind": "sms",
            "providers": {one: {"host": f"{one}.example", "in": some(draw, inner, most=1)} for one in providers},
        }
    services(draw, data, servers)
    named = list(data["services"])
    stored(draw, data, servers, named)
    for n in range(draw(st.integers(0, 2))):
        name: dict[str, Any] = {"to": draw(st.sampled_from(named))}
        maybe(draw, name, "registrar", st.sampled_from(["registrar0", "registrar1"]))
        data.setdefault("names", {})[f"n{n}.example"] = name
    if draw(st.booleans()) if with_products is None else with_products:
        data["products"] = {}
        for n in range(draw(st.integers(1, 2))):
            data["products"][f"product{n}"] = {"needs": some(draw, [*named, *data["links"]], least=1, most=3)}
    if draw(st.booleans()):
        data["people"] = {"response": "15m"}
    if draw(st.booleans()):
        data["lookout"] = {"on": some(draw, servers, least=1, most=5)}
    return Estate.model_validate(data, context=names_of(data))


def services(draw: Draw, data: dict[str, Any], servers: list[str]) -> None:
    data["services"] = {}
    for n in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["etcd", "postgresql", "http", "haproxy", "generic"]))
        service: dict[str, Any] = {"kind": kind, "on": some(draw, servers, least=1, most=5)}
        service["needs"] = some(draw, [*data["services"], *data["links"]], most=2)
        service["spares"] = some(draw, servers, most=2)
        maybe(draw, service, "need", st.integers(1, len(service["on"])))
        maybe(draw, service, "load", st.sampled_from([0, 1.1, 2.2, 3]))
        maybe(draw, service, "capacity", st.sampled_from([0, 0.1, 0.2, 1.1, 2]))
        maybe(draw, service, "takeover_outage", DURATION)
        maybe(draw, service, "rebuild", DURATION)
        if kind in ("postgresql", "generic"):
            maybe(draw, service, "takeover", st.sampled_from(["automatic", "confirm", "shadow", "manual"]))
        if kind == "postgresql":
            maybe(draw, service, "replication", st.sampled_from(["synchronous", "asynchronous"]))
        if kind in ("postgresql", "http", "generic"):
            maybe(draw, service, "lag", DURATION)
        data["services"][f"service{n}"] = service


def stored(draw: Draw, data: dict[str, Any], servers: list[str], named: list[str]) -> None:
    data["vaults"] = {
        f"v{n}": {
            "kind": "restic",
            "on": draw(st.sampled_from(servers)),
            "path": "/srv",
            "key_on": some(draw, servers, most=2),
        }
        for n in range(2)
    }
    data["data"] = {f"data{n}": {"in": draw(st.sampled_from(named))} for n in range(draw(st.integers(0, 2)))}
    data["backups"] = {}
    for n in range(draw(st.integers(0, 2)) if data["data"] else 0):
        backup: dict[str, Any] = {
            "of": some(draw, list(data["data"]), least=1),
            "method": "dump",
            "every": draw(st.sampled_from(["1h", "1d"])),
            "to": some(draw, ["v0", "v1"], least=1),
        }
        maybe(draw, backup, "proof", st.just({"every": "1d", "on": servers[0]}))
        maybe(draw, backup, "restore", DURATION)
        data["backups"][f"b{n}"] = backup
