"""Who stands beside a primary, as Patroni's key in etcd says."""

from __future__ import annotations

import asyncio

from binome.estate import load
from binome.ports import Put, Range
from binome.runtime.primary import BESIDE_MEMBER_S, BESIDE_PRIMARY_S, leader_key, stand_back_s
from binome.sim.etcd_state import EtcdState
from tests.runtime.world import LITTORAL


class Keys:
    """The keys of a modelled etcd, at once."""

    def __init__(self, **keys: str) -> None:
        self.state = EtcdState()
        self.state.transact((), [Put(key, value.encode()) for key, value in keys.items()])

    async def range(self, key: str) -> Range:
        return self.state.range(key)


def back_s(server: str, **keys: str) -> float:
    return asyncio.run(stand_back_s(LITTORAL, server, Keys(**keys)))  # type: ignore[arg-type]


def test_the_nearer_the_primary_the_longer_a_lookout_lets_others_go_first() -> None:
    lookouts = ("gra-edge", "sbg-edge", "par-watch")
    primary = {"/service/littoral/leader": "gra-db"}
    assert [back_s(server, **primary) for server in lookouts] == [BESIDE_PRIMARY_S, BESIDE_MEMBER_S, 0]
    primary = {"/service/littoral/leader": "sbg-db"}
    assert [back_s(server, **primary) for server in lookouts] == [BESIDE_MEMBER_S, BESIDE_PRIMARY_S, 0]


def test_without_a_primary_or_with_one_that_the_estate_does_not_know_members_count() -> None:
    assert back_s("gra-edge") == BESIDE_MEMBER_S
    assert back_s("gra-edge", **{"/service/littoral/leader": "elsewhere"}) == BESIDE_MEMBER_S


def test_without_a_scope_patroni_has_the_services_own_name() -> None:
    estate = load(
        b"sites: {x: {}}\nservers: {a: {site: x}, b: {site: x}}\nservices: {shop: {kind: postgresql, on: [a, b]}}\n"
    )
    assert leader_key(estate, "shop") == "/service/shop/leader"
