"""A copy is restored: fetched, held against its manifest, restored aside, compared, and only then given its name.

    vaults, one after the other ► fetched ► manifest and files compared ► the method's own tools look at it
    the target is looked at again: hours may have passed ► prepared aside ► restored ► compared ► named

A vault that cannot be reached, or gives what is damaged, is passed over for the next, and said. Nothing of the target
is touched before the whole copy is here and good; whatever ends it before its last step leaves the target as it was.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from binome.core.copies import MANIFEST, Manifest, ManifestError, compared, opened
from binome.core.proofs import Phase
from binome.core.restoring import Copy, Refused, There, objection
from binome.ports_of_copies import Compared, Place, Restorer, Tell, Trouble, Vault, VaultError
from binome.runtime.copying import Sums, own_folder

PREFIX = "binome-restore-"


class Target(Protocol):
    """Where something is restored to. Calls raise RestoreError."""

    async def look(self) -> There:
        """What is there now."""

    async def prepare(self, source: str, copy: Path) -> Place:
        """A place for one source of the copy, aside or closed, so that nobody uses what is not whole."""

    async def finish(self) -> None:
        """Gives what was restored its name, and opens it."""

    async def undo(self) -> None:
        """Takes away what was prepared. Again without harm."""


class Hands(NamedTuple):
    """What restoring needs: the method, vaults by name, sums of files, a clock of milliseconds."""

    restorer: Restorer
    vaults: Mapping[str, Vault]
    sums: Sums
    now_ms: Callable[[], int]


class NotFetchedError(Exception):
    """No vault gave the copy whole: the trouble of each by its name, and whether one of them could not be asked."""

    def __init__(self, troubles: Mapping[str, str], *, unreachable: bool) -> None:
        super().__init__("; ".join(f"{name}: {trouble}" for name, trouble in troubles.items()))
        self.troubles = dict(troubles)
        self.unreachable = unreachable


class RefusedError(Exception):
    """The target is not what it was when the restore began."""

    def __init__(self, refused: Refused, there: There) -> None:
        super().__init__(refused.value)
        self.refused = refused
        self.there = there


@dataclass(slots=True)
class Restored:
    """What came of it. `phases_ms` by `core.proofs.Phase`; `troubles` of vaults that were passed over, by name.

    `counts` is what was compared, `differences` a line for each thing that is not as it was saved.
    """

    vault: str
    id: str
    manifest: Manifest
    troubles: dict[str, str] = field(default_factory=dict)
    phases_ms: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


async def restore(copy: Copy, target: Target, *, scratch: Path, only: str, hands: Hands, tell: Tell) -> Restored:
    """Restores a copy, or of it `only` one source, where that is named.

    Raises NotFetchedError, RefusedError, RestoreError, or OSError where there is no scratch folder.
    """
    with own_folder(scratch, PREFIX) as folder:
        done = await _fetched(copy, folder, only, hands, tell)
        refused = objection(there := await target.look())
        if refused is not None:
            raise RefusedError(refused, there)
        try:
            await _filled(done, _sources(done.manifest, only), folder / "copy", target, hands=hands, tell=tell)
            await target.finish()
        except BaseException:
            await asyncio.shield(target.undo())
            raise
    return done


async def _fetched(copy: Copy, folder: Path, only: str, hands: Hands, tell: Tell) -> Restored:
    """The copy in the folder `copy` below `folder`, whole, by its manifest and by its method's tools."""
    troubles: dict[str, str] = {}
    unreachable = False
    for name, id_ in copy.ids.items():
        into, began_ms = folder / "copy", hands.now_ms()
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(mode=0o700)
        try:
            await hands.vaults[name].fetch(id_, into, tell)
            fetched_ms = hands.now_ms()
            done = Restored(name, id_, await _believed(copy, into, hands.sums, tell), troubles)
            await _sound(done.manifest, folder, only, hands.restorer)
        except VaultError as error:
            troubles[name] = str(error)
            unreachable |= error.trouble in (Trouble.UNREACHABLE, Trouble.BUSY)
        except ManifestError as error:
            troubles[name] = str(error)
        else:
            done.phases_ms[Phase.FETCH.value] = fetched_ms - began_ms
            done.phases_ms[Phase.VERIFY.value] = hands.now_ms() - fetched_ms
            return done
    raise NotFetchedError(troubles, unreachable=unreachable)


async def _believed(copy: Copy, folder: Path, sums: Sums, tell: Tell) -> Manifest:
    """The manifest of what was fetched, once every file is as it says. Raises ManifestError."""
    try:
        manifest = opened((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise ManifestError(f"{MANIFEST} is missing") from error
    if (manifest.backup, manifest.method, manifest.at_ms // 1000) != (copy.backup, copy.method, copy.at_ms // 1000):
        raise ManifestError(f"{MANIFEST} is of another copy than its labels say")
    found = dict(await asyncio.to_thread(sums, folder, tell))
    found.pop(MANIFEST, None)
    faulty = compared(manifest.files, found)
    if faulty:
        more = f", and {len(faulty) - 1} more" if len(faulty) > 1 else ""
        raise ManifestError(f"{faulty[0].path}: {faulty[0].fault.value}{more}")
    return manifest


async def _sound(manifest: Manifest, folder: Path, only: str, restorer: Restorer) -> None:
    """Raises ManifestError where the method's tools find something wrong, RestoreError where they cannot look."""
    for source, fingerprint in _sources(manifest, only).items():
        wrong = await restorer.verify(folder / "copy" / source, fingerprint, Place(folder))
        if wrong:
            raise ManifestError(f"{source}: {wrong[0]}")


def _sources(manifest: Manifest, only: str) -> dict[str, dict[str, object]]:
    """The fingerprints of what is to be restored; all where a physical copy has the one that is named inside another.

    Raises ManifestError where a name leads away.
    """
    if any("/" in name or name.startswith(".") or not name for name in manifest.fingerprints):
        raise ManifestError(f"{MANIFEST} names a source that is no name")
    if only in manifest.fingerprints:
        return {only: manifest.fingerprints[only]}
    if only and only not in manifest.data:
        raise ManifestError(f"{only} is not in this copy")
    return dict(manifest.fingerprints)


async def _filled(
    done: Restored, wanted: Mapping[str, dict[str, object]], copy: Path, target: Target, *, hands: Hands, tell: Tell
) -> None:
    """Restores the sources that are wanted, and compares them with their fingerprints."""
    places, began_ms = dict[str, Place](), hands.now_ms()
    for source in wanted:
        place = await target.prepare(source, copy / source)
        places[source] = await hands.restorer.restore(copy / source, place, tell)
    restored_ms = hands.now_ms()
    done.phases_ms[Phase.RESTORE.value] = restored_ms - began_ms
    for source, place in places.items():
        said: Compared = await hands.restorer.compare(place, wanted[source], done.manifest.versions, tell)
        for name, count in said.counts.items():
            done.counts[name] = done.counts.get(name, 0) + count
        done.differences += said.differences
    done.phases_ms[Phase.COMPARE.value] = hands.now_ms() - restored_ms
