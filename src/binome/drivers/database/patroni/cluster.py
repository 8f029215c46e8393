"""What Patroni keeps in etcd of one database, and the changes that we make to it. Pure.

Below `/service/SCOPE/`, as Patroni 4.1 writes it:

    leader          the name of the primary; hangs on its member's lease; rewritten only when it changes hands
    sync            {"leader": NAME, "sync_standby": "NAME,NAME" or null, "quorum": 0}: who has every acknowledged write
    members/NAME    what a member says of itself, such as api_url and state; hangs on the member's lease
    config          the settings that all members share
    failover        a switchover that was asked for; empty or {} where none is

A change is a transaction: it compares the revision of every key that it was decided from, so that nothing of it is done
where Patroni, or another one of us, has moved meanwhile. The order of its actions matters: members learn of them in
that order and wake at `leader` or `config`, so those come last, when the rest is known to them.

**The key is handed over.** A takeover does not delete `leader` and let the members race for it: it puts the survivor's
name there, on the survivor's own lease. The survivor finds that it leads and promotes at once, without asking the dead
member first; a primary that was only cut off cannot create the key again in between. That this is safe follows from
`sync` alone: it names the survivor, so the survivor has everything that was acknowledged (docs/adr/0050).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from binome.ports import Compare, Delete, KeyValue, Put

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Refused(StrEnum):
    """Why a database was left as it is."""

    BAD_NAME = "an argument is missing, or is no name of a database or a member"
    NO_CLUSTER = "etcd has no such database, or it was never synchronous"
    NOT_THE_PRIMARY = "another member than the lost one leads"
    NOT_SYNCHRONOUS = "the survivor was not synchronous: it may lack acknowledged writes"
    QUORUM_COMMIT = "the database commits by quorum: being named in /sync does not mean having every write"
    SURVIVOR_ABSENT = "the survivor's Patroni has no place in etcd: it does not run, or was away too long"
    SAME_SERVER = "the lost server and the survivor are the same"
    PAUSED = "Patroni is paused, and would not promote"
    PRIMARY_CHANGED = "another member leads by now"
    STANDBY_ALIVE = "the standby answers, and streams"
    STANDBY_NOT_SYNCHRONOUS = "the primary does not wait for this standby"
    SWITCHOVER_UNDER_WAY = "another switchover has been asked for"
    SWITCHOVER_DROPPED = "Patroni has dropped the switchover: the standby was not fit for it"
    MOVED = "Patroni or another one of us changed the database meanwhile"


class Change(NamedTuple):
    """A transaction: what must still be so, and what is done."""

    conditions: tuple[Compare, ...]
    actions: tuple[Put | Delete, ...]


class Done(NamedTuple):
    """Nothing is left to change: it was done before."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The keys of one database, as they were at one revision."""

    root: str
    keys: Mapping[str, KeyValue]  # by what follows the root

    @classmethod
    def of(cls, scope: str, keys: Sequence[KeyValue]) -> Cluster:
        """From all keys below a scope's root."""
        root = root_of(scope)
        return cls(root, {one.key.removeprefix(root): one for one in keys})

    @property
    def leader(self) -> str:
        """The name of the primary; empty where the key is gone."""
        return self.keys["leader"].value.decode(errors="replace") if "leader" in self.keys else ""

    @property
    def primary_of_sync(self) -> str:
        """The primary that the agreement on who is synchronous speaks of."""
        return str(self._document("sync").get("leader") or "")

    @property
    def synchronous(self) -> tuple[str, ...]:
        """The standbys that have every acknowledged write."""
        names = self._document("sync").get("sync_standby")
        return tuple(one.strip() for one in names.split(",") if one.strip()) if isinstance(names, str) else ()

    def is_synchronous(self, name: str) -> bool:
        """Whether a standby has every acknowledged write. PostgreSQL does not tell upper case from lower here."""
        return name.lower() in (one.lower() for one in self.synchronous)

    @property
    def commits_by_quorum(self) -> bool:
        """Whether a write is acknowledged by some of the standbys: then none of them is known to have it."""
        return self._document("sync").get("quorum") not in (0, None)

    def member(self, name: str) -> Mapping[str, Any]:
        """What a member says of itself; nothing where it has no place."""
        return self._document(f"members/{name}")

    @property
    def paused(self) -> bool:
        """Whether a person has told Patroni to keep its hands off."""
        return self._document("config").get("pause") is True

    @property
    def switchover(self) -> Mapping[str, Any]:
        """The switchover that was asked for."""
        return self._document("failover")

    def _document(self, key: str) -> dict[str, Any]:
        """The JSON object of a key; empty where there is none."""
        try:
            value = msgspec.json.decode(self.keys[key].value)
        except (KeyError, msgspec.DecodeError):
            return {}
        return value if isinstance(value, dict) else {}

    def unchanged(self, *keys: str) -> tuple[Compare, ...]:
        """The conditions that these keys are as they were; 0: still not there."""
        return tuple(Compare(self.root + key, "mod_revision", self._revision(key)) for key in keys)

    def _revision(self, key: str) -> int:
        return self.keys[key].mod_revision if key in self.keys else 0

    def _synchronous_are(self, primary: str, standbys: Sequence[str] = ()) -> Put:
        document = {"leader": primary, "sync_standby": ",".join(standbys) or None, "quorum": 0}
        return Put(f"{self.root}sync", _encode(document))

    def _wake(self) -> tuple[Put, ...]:
        """The settings once more, with a blank behind them or without: Patroni's loops wake, and nothing changes."""
        if "config" not in self.keys:
            return ()
        text = self.keys["config"].value
        return (Put(f"{self.root}config", text.rstrip() if text != text.rstrip() else text + b" "),)


def root_of(scope: str) -> str:
    """What all keys of a database begin with."""
    return f"/service/{scope}/"


def are_names(*names: str) -> bool:
    """Whether all of these can be names of databases and members: they become parts of keys."""
    return all(_NAME.fullmatch(name) for name in names)


def takeover(cluster: Cluster, survivor: str, lost: str, *, asynchronous: bool = False) -> Change | Refused | Done:
    """The survivor is the primary in place of the lost one.

    `asynchronous`: whoever asks answers for what the survivor lacks; of use only where Patroni agrees that it is so.
    """
    if survivor == lost:
        return Refused.SAME_SERVER
    if cluster.leader == survivor:
        return Done()
    if asynchronous and not cluster.primary_of_sync:
        return _asynchronous_takeover(cluster, survivor, lost)
    if not cluster.primary_of_sync:
        return Refused.NO_CLUSTER
    if cluster.leader not in (lost, "") or cluster.primary_of_sync != lost:
        return Refused.NOT_THE_PRIMARY  # without a key, its time is over, and Patroni's own race is on: we settle it
    if cluster.commits_by_quorum:
        return Refused.QUORUM_COMMIT
    if not cluster.is_synchronous(survivor):
        return Refused.NOT_SYNCHRONOUS
    if cluster.paused:
        return Refused.PAUSED
    lease = cluster.keys[f"members/{survivor}"].lease if cluster.member(survivor) else 0
    if lease == 0:
        return Refused.SURVIVOR_ABSENT
    return Change(
        cluster.unchanged("leader", "sync"),
        (
            cluster._synchronous_are(survivor),
            Delete(f"{cluster.root}members/{lost}"),
            *([Delete(f"{cluster.root}failover")] if "failover" in cluster.keys else ()),  # it was the lost one's to do
            Put(f"{cluster.root}leader", survivor.encode(), lease),
        ),
    )


def _asynchronous_takeover(cluster: Cluster, survivor: str, lost: str) -> Change | Refused:
    """As a takeover, where nobody waits for anybody: then nothing but the key tells who was primary."""
    if cluster.leader != lost:
        return Refused.NOT_THE_PRIMARY
    if cluster.paused:
        return Refused.PAUSED
    lease = cluster.keys[f"members/{survivor}"].lease if cluster.member(survivor) else 0
    if lease == 0:
        return Refused.SURVIVOR_ABSENT
    return Change(
        cluster.unchanged("leader", "sync"),
        (Delete(f"{cluster.root}members/{lost}"), Put(f"{cluster.root}leader", survivor.encode(), lease)),
    )


def restarted(cluster: Cluster, survivor: str, *, vouched: bool, accepts_loss: bool) -> Change | Refused | Done:
    """The survivor is the primary in an etcd that went on alone, because a person attests that all others are off.

    Its Patroni may have no place in etcd any more: it was stopped when it was cut off. So the key is not handed over
    but removed, and the survivor's Patroni takes it, which nobody else can. Where etcd began anew, empty, our own
    mirror must have `vouched` for the survivor; Patroni founds its cluster again, with the settings that it keeps
    beside the data.
    """
    if (cluster.leader, cluster.primary_of_sync) == (survivor, survivor) and not cluster.synchronous:
        return Done()
    everything = survivor in (cluster.leader, cluster.primary_of_sync) or cluster.is_synchronous(survivor)
    everything |= vouched and not cluster.keys
    if not accepts_loss:
        if cluster.commits_by_quorum:
            return Refused.QUORUM_COMMIT
        if not everything:
            return Refused.NOT_SYNCHRONOUS
    if cluster.paused:
        return Refused.PAUSED
    others = [key for key in cluster.keys if key.startswith("members/") and key != f"members/{survivor}"]
    gone = [*others, *(["leader"] if cluster.leader != survivor else []), *([] if everything else ["status"])]
    return Change(
        cluster.unchanged("leader", "sync", "config"),
        (cluster._synchronous_are(survivor), *(Delete(cluster.root + key) for key in gone), *cluster._wake()),
    )


def refounded(cluster: Cluster, survivor: str) -> Change | Refused | Done:
    """The survivor founds the database anew, empty, because a person attests that all who had the data are gone.

    All keys go but the settings: with `initialize` there, the survivor would wait for a leader to copy from. Then its
    Patroni founds a cluster in its own folder; a folder that is not empty it takes as it is.
    """
    if cluster.leader == survivor:
        return Done()
    if cluster.paused:
        return Refused.PAUSED
    kept = ("config", f"members/{survivor}")
    gone = [key for key in cluster.keys if key not in kept]
    return Change(
        cluster.unchanged("leader", "initialize", "config"),
        (*(Delete(cluster.root + key) for key in gone), *cluster._wake()),
    )


def release(cluster: Cluster, primary: str, lost: str) -> Change | Refused | Done:
    """The primary no longer waits for a standby that is lost."""
    if primary == lost:
        return Refused.SAME_SERVER
    if not cluster.primary_of_sync:
        return Refused.NO_CLUSTER
    if (cluster.leader, cluster.primary_of_sync) != (primary, primary):
        return Refused.PRIMARY_CHANGED
    if cluster.commits_by_quorum:
        return Refused.QUORUM_COMMIT  # Patroni keeps the sum of its own; a wrong one would let the wrong member win
    gone = f"members/{lost}" not in cluster.keys
    if not cluster.is_synchronous(lost):
        return Done() if gone else Refused.STANDBY_NOT_SYNCHRONOUS
    others = [name for name in cluster.synchronous if name.lower() != lost.lower()]
    return Change(
        cluster.unchanged("leader", "sync", f"members/{lost}", "config"),
        (cluster._synchronous_are(primary, others), Delete(f"{cluster.root}members/{lost}"), *cluster._wake()),
    )


def switchover(cluster: Cluster, primary: str, to: str, *, asynchronous: bool = False) -> Change | Refused | Done:
    """Another member becomes the primary, while both live: what Patroni's own `POST /switchover` writes."""
    if primary == to:
        return Refused.SAME_SERVER
    if cluster.leader == to:
        return Done()
    if cluster.leader != primary:
        return Refused.PRIMARY_CHANGED
    if cluster.paused:
        return Refused.PAUSED
    wanted = {"leader": primary, "member": to}
    if cluster.switchover:
        return Done() if cluster.switchover == wanted else Refused.SWITCHOVER_UNDER_WAY
    if not cluster.is_synchronous(to) and not (asynchronous and not cluster.primary_of_sync):
        return Refused.NOT_SYNCHRONOUS  # without it Patroni looks itself whether the standby is near enough
    return Change(
        cluster.unchanged("leader", "sync", "failover", "config"),
        (Put(f"{cluster.root}failover", _encode(wanted)), *cluster._wake()),
    )


def hand_over(cluster: Cluster, primary: str, to: str) -> Change | Refused | Done:
    """The second half of a switchover, once the primary has stopped: the key need not wait for its Patroni.

    Patroni lets go of the key one to two seconds after PostgreSQL has ended, because it looks once a second. Who stands
    in `sync` has everything that was acknowledged, as in a takeover; the old primary keeps its place, and follows.
    """
    if cluster.leader == to:
        return Done()
    if (cluster.leader, cluster.primary_of_sync) != (primary, primary):
        return Refused.PRIMARY_CHANGED
    if cluster.switchover != {"leader": primary, "member": to}:
        return Refused.SWITCHOVER_DROPPED
    if cluster.commits_by_quorum:
        return Refused.QUORUM_COMMIT
    if not cluster.is_synchronous(to):
        return Refused.NOT_SYNCHRONOUS
    if cluster.paused:
        return Refused.PAUSED
    lease = cluster.keys[f"members/{to}"].lease if cluster.member(to) else 0
    if lease == 0:
        return Refused.SURVIVOR_ABSENT
    return Change(
        cluster.unchanged("leader", "sync", "failover"),
        (
            cluster._synchronous_are(to),
            Delete(f"{cluster.root}failover"),
            Put(f"{cluster.root}leader", to.encode(), lease),
        ),
    )


def _encode(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(document)
