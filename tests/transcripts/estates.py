"""The platforms that the transcripts play on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from binome.estate import Estate, load
from binome.estate.whole import names_of


def _estate(data: dict[str, Any], lookout: list[str]) -> Estate:
    for number, server in enumerate(data["servers"].values(), 1):
        server["address"] = f"10.{number // 250}.{number % 250}.1"
    data["lookout"] = {"on": lookout, "every": "1s", "timeout": "800ms", "fall": 3, "rise": 2}
    return Estate.model_validate(data, context=names_of(data))


def littoral() -> Estate:
    """The example: three sites, a database that all needs, a witness."""
    return load((Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_bytes())


def night() -> Estate:
    """Thirty-four servers and three hundred targets: sixteen pairs in two sites, a witness with a helper in a third."""
    sites = {"gravelines": "gra", "strasbourg": "sbg"}
    servers = {f"{short}-{n:02}": {"site": site} for site, short in sites.items() for n in range(1, 17)}
    servers |= {"par-watch": {"site": "paris"}, "par-help": {"site": "paris"}}
    pair = {n: [f"gra-{n:02}", f"sbg-{n:02}"] for n in range(1, 17)}
    services: dict[str, Any] = {
        "coordination": {"kind": "etcd", "on": [*pair[1], "par-watch"]},
        "database": {"kind": "postgresql", "on": pair[1], "needs": ["coordination"]},
        "edge": {"kind": "haproxy", "on": pair[2], "routes": {"campaigns-1": 80}},
        "letters": {"kind": "http", "on": ["par-help"], "port": 80},
    }
    for number, members in pair.items():
        for name in ("campaigns", "contacts", "maps", "search", "sms", "voice", "mail", "site"):
            services[f"{name}-{number}"] = {"kind": "http", "on": members, "port": 8000 + len(services)}
    data = {"sites": {"gravelines": {}, "strasbourg": {}, "paris": {}}, "servers": servers, "services": services}
    return _estate(data, ["gra-16", "sbg-16", "par-watch"])


def patient_night() -> Estate:
    """The same, looked at every ten seconds."""
    estate = night()
    assert estate.lookout is not None
    return estate.model_copy(update={"lookout": estate.lookout.model_copy(update={"every_ms": 10_000})})


def racks() -> Estate:
    """Two sites and a witness; gravelines has three racks, each behind a switch of its own."""
    domains = {f"rack-{n}": {"kind": "rack", "in": ["gravelines"]} for n in (1, 2, 3)}
    servers: dict[str, Any] = {f"gra-{r}{n}": {"site": "gravelines", "in": [f"rack-{r}"]} for r in "123" for n in "123"}
    servers |= {name: {"site": site} for name, site in (("sbg-1", "strasbourg"), ("par-1", "paris"))}
    services = {f"shop-{n}": {"kind": "http", "on": [f"gra-1{n}", f"gra-2{n}", f"gra-3{n}"]} for n in "123"}
    data = {
        "sites": {"gravelines": {}, "strasbourg": {}, "paris": {}},
        "domains": domains,
        "servers": servers,
        "services": services,
    }
    return _estate(data, ["gra-11", "sbg-1", "par-1"])


def hypervisors() -> Estate:
    """Two hypervisors with five servers each in gravelines, and others elsewhere."""
    domains = {f"hyper-{n}": {"kind": "hypervisor", "in": ["gravelines"]} for n in "12"}
    servers: dict[str, Any] = {f"vm-{h}{n}": {"in": [f"hyper-{h}"]} for h in "12" for n in range(1, 6)}
    servers |= {"gra-metal": {"site": "gravelines"}, "sbg-1": {"site": "strasbourg"}, "par-1": {"site": "paris"}}
    services = {f"shop-{n}": {"kind": "http", "on": [f"vm-1{n}", f"vm-2{n}"]} for n in range(1, 6)}
    data = {
        "sites": {"gravelines": {}, "strasbourg": {}, "paris": {}},
        "domains": domains,
        "servers": servers,
        "services": services,
    }
    return _estate(data, ["gra-metal", "sbg-1", "par-1"])


def hosters() -> Estate:
    """Two sites of one hoster, three of others; each has a vantage point."""
    data = {
        "hosters": {"ovh": {}, "scaleway": {}, "exoscale": {}},
        "sites": {
            "gravelines": {"hoster": "ovh"},
            "strasbourg": {"hoster": "ovh"},
            "paris": {"hoster": "scaleway"},
            "amsterdam": {"hoster": "scaleway"},
            "geneva": {"hoster": "exoscale"},
        },
        "servers": {
            **{f"gra-{n}": {"site": "gravelines"} for n in (1, 2, 3)},
            **{f"sbg-{n}": {"site": "strasbourg"} for n in (1, 2, 3)},
            "par-1": {"site": "paris"},
            "ams-1": {"site": "amsterdam"},
            "gen-1": {"site": "geneva"},
        },
        "services": {
            "web": {"kind": "http", "on": ["gra-1", "sbg-1", "par-1"]},
            "search": {"kind": "http", "on": ["gra-2", "sbg-2"]},
        },
        "products": {"maps": {"needs": ["web", "search"]}},
    }
    return _estate(data, ["gra-3", "sbg-3", "par-1", "ams-1", "gen-1"])


ESTATES: dict[str, Callable[[], Estate]] = {
    one.__name__: one for one in (littoral, night, patient_night, racks, hypervisors, hosters)
}
