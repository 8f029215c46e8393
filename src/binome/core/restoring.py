"""Which copy is restored, and what is never written over.

    asked for                 the newest copy that is proven, at or before a moment, or one by its id
    a newer one, unproven     is said, and taken only where a person says `--unproven`
    it lies in several vaults they are asked one after the other: where it was proven first

One copy is put into every vault of its backup, under an id of each vault's own; its backup, its server and its moment
tell that two of them are one. Proven is what was restored from one vault; from another it is the same files, by the
same manifest, over another network and from another disk.

What is never written over: tables that are there, a standby, a folder that holds anything, a vault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from binome.core.copies import Label, Stored
from binome.estate import Estate


class Copy(NamedTuple):
    """One copy, wherever it lies: its id by vault, those that it was proven from first."""

    backup: str
    method: str
    server: str
    at_ms: int
    size_bytes: int | None
    ids: Mapping[str, str]
    proven: tuple[str, ...]  # vaults


class Refused(StrEnum):
    """Why nothing is restored."""

    NO_COPY = "there is no copy"
    NONE_BEFORE = "no copy is of that moment or before it"
    NONE_PROVEN = "no copy was ever restored to prove it: --unproven takes the newest all the same"
    SEVERAL = "several copies have an id that begins so"
    NOT_PROVEN = "this copy was never restored to prove it: --unproven takes it all the same"
    NOT_BELIEVED = "the proof of this copy is not believed: --unproven takes it all the same"
    HOLDS_DATA = "there is data already"
    STANDBY = "it is a standby, which takes no writes: restore into the primary"
    NOT_EMPTY = "the folder is not empty"
    IN_A_VAULT = "the folder is part of a vault, and copies are never written over"
    NO_FOLDER = "the folder above it is not there"


def copies(stored: Mapping[str, Sequence[Stored]], estate: Estate, backups: Iterable[str]) -> list[Copy]:
    """The copies of these backups in the vaults, newest first. `stored` is what each vault lists."""
    wanted, found = frozenset(backups), dict[tuple[str, str, int, int], Copy]()
    for vault, listed in stored.items():
        good = proven(listed)
        turns = Counter[tuple[str, str, int]]()  # two of one second are two
        for one in listed:
            of, labels = one.labels.get(Label.BACKUP, ""), one.labels
            if labels.get(Label.KIND) != "copy" or labels.get(Label.ESTATE) != estate.estate or of not in wanted:
                continue
            server = labels.get(Label.SERVER, "")
            turns[of, server, one.at_ms] += 1
            key = of, server, one.at_ms, turns[of, server, one.at_ms]
            new = Copy(of, labels.get(Label.METHOD, ""), server, one.at_ms, one.size_bytes, {}, ())
            copy = found.get(key, new)
            by = (*copy.proven, *([vault] if one.id in good else []))
            ids = {**copy.ids, vault: one.id}
            order = sorted(ids, key=lambda name: name not in by)  # stable: else as the estate lists them
            found[key] = copy._replace(ids={name: ids[name] for name in order}, proven=by)
    return sorted(found.values(), key=lambda copy: (-copy.at_ms, copy.backup, copy.server))


def proven(stored: Sequence[Stored]) -> frozenset[str]:
    """The ids of the copies in a vault whose newest proof says that they are good."""
    newest: dict[str, str] = {}
    for one in stored:
        if one.labels.get(Label.KIND) == "proof":
            newest.setdefault(one.labels.get(Label.OF, ""), one.labels.get(Label.VERDICT, ""))
    return frozenset(copy for copy, verdict in newest.items() if verdict == "proven")


class Chosen(NamedTuple):
    """The copy that is restored; `newer` is one that would be newer but is not proven."""

    copy: Copy
    newer: Copy | None


def chosen(
    found: Sequence[Copy], *, id_: str = "", at_ms: int | None = None, unproven: bool = False
) -> Chosen | Refused:
    """The copy to restore of `found`, newest first: by the beginning of its id, else the newest up to a moment."""
    if id_:
        named = [copy for copy in found if any(one.startswith(id_) for one in copy.ids.values())]
        if len(named) != 1:
            return Refused.SEVERAL if named else Refused.NO_COPY
        (copy,) = named
        return Chosen(copy, None) if copy.proven or unproven else Refused.NOT_PROVEN
    if not found:
        return Refused.NO_COPY
    before = [copy for copy in found if at_ms is None or copy.at_ms <= at_ms]
    if not before:
        return Refused.NONE_BEFORE
    good = next((copy for copy in before if copy.proven), None)
    if unproven or good is None:
        return Chosen(before[0], None) if unproven else Refused.NONE_PROVEN
    return Chosen(good, before[0] if before[0] != good else None)


class There(NamedTuple):
    """What is where something is to be restored. `where` and `role` are words for people.

    `holds` is what would be written over, in words; empty where nothing would be. `standby`: it takes no writes.
    """

    where: str
    role: str
    holds: str = ""
    standby: bool = False
    refused: Refused | None = None


def objection(there: There) -> Refused | None:
    """Why nothing is restored there; None where it may be."""
    if there.refused is not None:
        return there.refused
    if there.standby:
        return Refused.STANDBY
    return Refused.HOLDS_DATA if there.holds else None


def in_a_vault(folder: str, estate: Estate, server: str) -> str:
    """The vault of this server that a folder is part of, or that would be below it; empty where there is none.

    `folder` is absolute, with no link and no `..` in it.
    """
    for name, vault in estate.vaults.items():
        path, asked = f"{vault.path.rstrip('/')}/", f"{folder.rstrip('/')}/"
        if vault.on == server and (asked.startswith(path) or path.startswith(asked)):
            return name
    return ""
