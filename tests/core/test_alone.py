"""What has no partner left, row by row of its table."""

from __future__ import annotations

import pytest

from binome.core.alone import Alone, Why, alone
from binome.core.database import Database
from binome.core.graph import Graph
from binome.core.quorum import Agreed
from binome.core.verdict import Verdict
from binome.estate import load
from tests.runtime.world import LITTORAL

UP, DOWN, UNSURE, FLAPPING = Verdict.UP, Verdict.DOWN, Verdict.UNSURE, Verdict.FLAPPING
GRAPH = Graph(LITTORAL)
WHOLE = Database("gra-db", ("sbg-db",), leaderless=False, since_ms=5, number=1)
LONELY = WHOLE._replace(synchronous=(), since_ms=9)


def found(service: str, verdicts: dict[str, Verdict], database: Database = WHOLE) -> Alone | None:
    """What is said of one service, the others being well. A server's verdict came about at 100 ms and later."""
    agreed = {name: Agreed(UP, 1) for name in GRAPH.targets}
    for number, (server, verdict) in enumerate(verdicts.items()):
        agreed[f"{service}@{server}"] = Agreed(verdict, 100 + number)
    said = alone(GRAPH, agreed, {"database": database})
    assert all(one.service == service for one in said)
    return said[0] if said else None


@pytest.mark.parametrize(
    ("service", "verdicts", "why", "members", "since_ms"),
    [
        ("web", {"gra-web": UP}, None, (), None),
        ("web", {"gra-web": DOWN}, Why.NO_PARTNER, ("sbg-web",), 100),
        ("web", {"gra-web": FLAPPING}, Why.NO_PARTNER, ("sbg-web",), 100),
        ("web", {"gra-web": UNSURE}, Why.PERHAPS, ("sbg-web",), None),
        ("web", {"gra-web": DOWN, "sbg-web": DOWN}, None, (), None),
        ("web", {"gra-web": DOWN, "sbg-web": UNSURE}, None, (), None),
        ("coordination", {"gra-db": DOWN}, Why.NO_PARTNER, ("sbg-db", "par-watch"), 100),
        ("coordination", {"gra-db": DOWN, "sbg-db": DOWN}, None, (), None),
    ],
)
def test_a_service(
    service: str, verdicts: dict[str, Verdict], why: Why | None, members: tuple[str, ...], since_ms: int | None
) -> None:
    expected = Alone(service, why, members, since_ms) if why is not None else None
    assert found(service, verdicts) == expected


@pytest.mark.parametrize(
    ("database", "why"),
    [(WHOLE, None), (LONELY, Why.NOT_SYNCHRONOUS), (LONELY._replace(leaderless=True), None)],
)
def test_a_synchronous_database_is_alone_without_a_standby_that_has_everything(
    database: Database, why: Why | None
) -> None:
    one = found("database", {}, database)
    assert (one.why if one else None) is why
    if one is not None:
        assert (one.members, one.since_ms) == (("gra-db",), 9)


def test_since_when_is_when_the_last_partner_fell() -> None:
    estate = load(
        b"estate: e\nsites: {s: {region: fr}}\nservers:\n  a: {site: s, address: 192.0.2.1}\n"
        b"  b: {site: s, address: 192.0.2.2}\n  c: {site: s, address: 192.0.2.3}\n  d: {site: s, address: 192.0.2.4}\n"
        b"services:\n  w: {kind: http, on: [a, b, c], port: 80, health: /}\n"
        b"  one: {kind: http, on: [d], port: 80, health: /}\n"
        b"lookout: {on: [a]}\n"
    )
    agreed = {"w@a": Agreed(UP, 1), "w@b": Agreed(DOWN, 70), "w@c": Agreed(DOWN, 40), "one@d": Agreed(UP, 1)}
    assert alone(Graph(estate), agreed, {}) == [Alone("w", Why.NO_PARTNER, ("a",), 70)]
