"""Who stands beside a primary, as Patroni's key in etcd says."""

from __future__ import annotations

import asyncio

from binome.estate import load
from binome.ports import Put, Range
from binome.runtime.primary import beside_primary, leader_key
from binome.sim.etcd_state import EtcdState
from tests.runtime.world import LITTORAL


class Keys:
    """The keys of a modelled etcd, at once."""

    def __init__(self, **keys: str) -> None:
        self.state = EtcdState()
        self.state.transact((), [Put(key, value.encode()) for key, value in keys.items()])

    async def range(self, key: str) -> Range:
        return self.state.range(key)


def beside(server: str, **keys: str) -> bool:
    return asyncio.run(beside_primary(LITTORAL, server, Keys(**keys)))  # type: ignore[arg-type]


def test_the_lookouts_of_the_primarys_site_stand_beside_it_and_the_others_do_not() -> None:
    primary = {"/service/littoral/leader": "gra-db"}
    assert [beside(server, **primary) for server in ("gra-edge", "sbg-edge", "par-watch")] == [True, False, False]
    primary = {"/service/littoral/leader": "sbg-db"}
    assert [beside(server, **primary) for server in ("gra-edge", "sbg-edge", "par-watch")] == [False, True, False]


def test_without_a_primary_or_with_one_that_the_estate_does_not_know_nobody_does() -> None:
    assert not beside("gra-edge")
    assert not beside("gra-edge", **{"/service/littoral/leader": "elsewhere"})


def test_without_a_scope_patroni_has_the_services_own_name() -> None:
    estate = load(
        b"sites: {x: {}}\nservers: {a: {site: x}, b: {site: x}}\nservices: {shop: {kind: postgresql, on: [a, b]}}\n"
    )
    assert leader_key(estate, "shop") == "/service/shop/leader"
