"""Heads are exchanged, each by the key that its signer had first; a new key is a person's to judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from binome.journal import heads
from binome.journal.exchange import HeadExchange
from binome.ports import Committed, Compare, Delete, Etcd, Put, Range
from binome.runtime.clock import SystemClock
from binome.sim.etcd_state import EtcdState
from tests.journal.store_suite import chain
from tests.runtime.world import MemoryStore


class OneEtcd:
    """An etcd in memory that always answers."""

    def __init__(self) -> None:
        self.state = EtcdState()

    async def range(self, key: str, *, prefix: bool = False) -> Range:
        return self.state.range(key, prefix=prefix)

    async def transact(self, compares: Sequence[Compare], actions: Sequence[Put | Delete]) -> Committed:
        return self.state.transact(compares, actions)


def exchange(etcd: OneEtcd, name: str, folder: Path, entries: int) -> HeadExchange:
    """A lookout with a new disk: its key is a new one."""
    store = MemoryStore()
    store.append(chain(entries))
    return HeadExchange(
        "littoral",
        name,
        ("a", "b"),
        etcd=cast(Etcd, etcd),
        store=store,
        clock=SystemClock(),
        key=Ed25519PrivateKey.generate(),
        folder=folder / name,
    )


def test_a_new_key_is_taken_only_after_a_person_moved_the_old_head_away(tmp_path: Path) -> None:
    async def night() -> None:
        etcd = OneEtcd()
        old, other = exchange(etcd, "a", tmp_path, 3), exchange(etcd, "b", tmp_path, 3)
        await old.exchange()
        await other.exchange()
        kept = tmp_path / "b" / "littoral-a.head"
        before = heads.load(kept)
        new = exchange(etcd, "a", tmp_path, 5)
        await new.exchange()
        with pytest.raises(heads.HeadError) as refused:
            await other.exchange()
        assert heads.load(kept) == before, "what the old disk signed stays"
        key = heads.public(new._key)
        assert str(refused.value) == (
            f"the head of a in etcd is not to be believed: signed with another key, {key}.  If the disk of a was "
            f"replaced, and `binome journal key` prints this key there, move {kept} away on b; else somebody signs in "
            "the name of a"
        )
        kept.rename(tmp_path / "kept.head")
        await other.exchange()
        assert heads.load(kept).key == key

    asyncio.run(night())


def test_a_head_with_the_right_key_and_a_wrong_signature_has_no_such_remedy(tmp_path: Path) -> None:
    async def night() -> None:
        etcd = OneEtcd()
        one, other = exchange(etcd, "a", tmp_path, 3), exchange(etcd, "b", tmp_path, 3)
        await one.exchange()
        await other.exchange()
        told = etcd.state.range("/binome/littoral/signed/a").keys[0].value
        forged = told.replace(b'"sequence":3', b'"sequence":4')
        await etcd.transact((), [Put("/binome/littoral/signed/a", forged)])
        with pytest.raises(heads.HeadError, match=r"its signature is not over what it says$"):
            await other.exchange()

    asyncio.run(night())
