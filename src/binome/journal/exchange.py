"""Heads, exchanged: every lookout signs what its mirror is, and keeps what the others have signed.

They travel through etcd, below `/binome/ESTATE/signed/`, and end as files beside each mirror. Lookouts stand in
different fault domains, so a journal that was cut short or made anew in one of them is contradicted in the others
(`binome journal verify --heads`). A head that a file here contradicts is not taken, and is said: it is the evidence
of a journal that lost its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from binome.core.entry import EMPTY
from binome.journal import heads
from binome.journal.heads import HeadError, SignedHead
from binome.ports import Clock, Etcd, EtcdError, EtcdUnknownError, Put, Store
from binome.shown import shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

EXCHANGE_EVERY_S = 10.0


class HeadExchange:
    """One lookout's part of it: signs with `key`, keeps the others' heads in `folder`."""

    def __init__(
        self,
        estate: str,
        name: str,
        members: Sequence[str],
        *,
        etcd: Etcd,
        store: Store,
        clock: Clock,
        key: Ed25519PrivateKey,
        folder: Path,
    ) -> None:
        self._root = f"/binome/{estate}/signed/"
        self._estate, self._name, self._members = estate, name, members
        self._etcd, self._store, self._clock = etcd, store, clock
        self._key, self._folder = key, folder
        self._signed = EMPTY
        self.problem = ""

    async def run(self) -> None:
        """Exchanges again and again until it is cancelled; etcd that does not answer only makes it later."""
        while True:
            try:
                await self.exchange()
            except (EtcdError, EtcdUnknownError):
                pass  # the journal's own work says so
            except HeadError as error:
                self.problem = str(error)
            else:
                self.problem = ""
            await self._clock.sleep(EXCHANGE_EVERY_S)

    async def exchange(self) -> None:
        """Tells what our mirror is by now, and keeps what the others told. Raises HeadError for a contradiction."""
        head = self._store.head()
        if head != self._signed:
            signed = heads.sign(self._key, head, estate=self._estate, signer=self._name, at_ms=self._clock.now_ms())
            await self._etcd.transact((), [Put(self._root + self._name, msgspec.json.encode(signed))])
            self._signed = head
        told = {
            one.key.removeprefix(self._root): one.value
            for one in (await self._etcd.range(self._root, prefix=True)).keys
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        objections = []
        for name in self._members:
            if name != self._name and name in told:
                try:
                    self._keep(name, told[name])
                except HeadError as error:  # it must not keep us from keeping the others'
                    objections.append(str(error))
        if objections:
            raise HeadError("; ".join(objections))

    def _keep(self, name: str, value: bytes) -> None:
        try:
            signed = msgspec.json.decode(value, type=SignedHead)
        except msgspec.DecodeError as error:
            raise HeadError(f"etcd holds what is no signed head: {error}") from None
        # Its name becomes a file's, and its key is pinned by the first head of that signer that we kept.
        if (signed.estate, signed.signer) != (self._estate, name):
            raise HeadError(f"the head of {name} in etcd names {shown(signed.signer)} of {shown(signed.estate)}")
        kept = self._folder / f"{self._estate}-{name}{heads.SUFFIX}"
        pinned = (heads.load(kept).key,) if kept.exists() else ()
        reason = heads.objection(signed, pinned)
        if reason is not None:
            remedy = f".  {_remedy(name, kept, self._name)}" if pinned and signed.key not in pinned else ""
            raise HeadError(f"the head of {name} in etcd is not to be believed: {reason}{remedy}")
        heads.write(self._folder, signed)


def _remedy(signer: str, kept: Path, here: str) -> str:
    """What to do about a new key of a signer: only a person can know whether it is that signer's."""
    return (
        f"If the disk of {signer} was replaced, and `binome journal key` prints this key there, move {kept} away on "
        f"{here}; else somebody signs in the name of {signer}"
    )
