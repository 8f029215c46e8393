"""A copy is proven: fetched, restored in a sandbox, read through, compared with what was saved, timed; thrown away.

    manifest ─► fetch ─► verify ─► restore ─► start ─► check ─► compare ─► what is usual ─► proof
                  └──────────────── in the sandbox ─────────────────┘

Nothing that a copy brings is believed before the next thing is done with it. The manifest is read first, and bounds
all that is fetched: more files, or more bytes, than it lists end the fetch, and the sandbox holds no more than a
multiple of it. Only regular files and folders may lie there, and each is compared with its size and sum before
anything is started.

The first thing that is wrong ends it with a verdict; the proof says it, and is kept too. What lies with this server or
with the way to the vault is no verdict on the copy, and makes no proof: it is raised.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from binome.core.copies import (
    MANIFEST,
    MOST_MANIFEST_BYTES,
    Label,
    Manifest,
    ManifestError,
    Progress,
    Stored,
    compared,
    opened,
)
from binome.core.misgivings import Volume, astray, scant
from binome.core.proofs import PROOF, Phase, Proof, Verdict, labels, written
from binome.core.sources import OF_DATABASES
from binome.estate import Estate
from binome.ports_of_copies import (
    Compared,
    Engine,
    Needs,
    Place,
    RestoreError,
    Restorer,
    Sandbox,
    Tell,
    Trouble,
    Unrestored,
    Vault,
    VaultError,
)
from binome.runtime.copying import Sums

TIMES = 8
"""How many times its own size a copy may take: the copy, and an engine with heaps, indexes and WAL of it."""
LEAST_BYTES = 1 << 30
FILES_TIMES = 4
LEAST_FILES = 30_000
EARLIER = 3
_UNASKED = frozenset({Trouble.UNREACHABLE, Trouble.BUSY, Trouble.NO_TOOL, Trouble.REFUSED})
_MOST_LINES = 20
_SLACK_BYTES = 1 << 20
_SLACK_FILES = 1000  # so that a few that nobody saved are named, one by one
_WATCH_S = 0.5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Tools(NamedTuple):
    """What proving needs: the vault, what restores, where, what runs, sums of files, the clock, the signature.

    `clock_s` only measures; `now_ms` is the time of day. Without `fingerprints` nothing is compared at the end: only a
    benchmark does that. `damage` alters what was fetched and says how: a rehearsal, whose proof has to fail.
    """

    vault: Vault
    restorer: Restorer
    sandbox: Sandbox
    engine: Callable[[], Engine]
    sums: Sums
    now_ms: Callable[[], int]
    sign: Callable[[Proof], Proof]
    versions: Mapping[str, str]
    clock_s: Callable[[], float] = time.monotonic
    fingerprints: bool = True
    damage: Callable[[Path], str] | None = None


class Wanted(NamedTuple):
    """The copy to prove, in which vault, and the other copies of its backup that lie there."""

    vault: str
    copy: Stored
    others: Sequence[Stored] = ()


class _WrongError(Exception):
    """The copy is not good."""

    def __init__(self, verdict: Verdict, *found: str) -> None:
        super().__init__(*found)
        self.verdict = verdict
        more = len(found) - _MOST_LINES
        self.found = (*found[:_MOST_LINES], *([f"and {more} more"] if more > 0 else []))


async def prove(estate: Estate, backup: str, wanted: Wanted, *, tools: Tools, tell: Tell) -> Proof:
    """Tries a copy out; the signed proof, whatever its verdict.

    Raises VaultError where the vault could not be asked, NoSandboxError, and RestoreError where this server lacks
    something: then there is no proof.
    """
    return await _Trial(estate, backup, wanted, tools, tell).proof()


async def put(proof: Proof, vault: Vault, tell: Tell) -> str:
    """Lays a proof beside its copy; its id. Raises VaultError."""
    folder = Path(tempfile.mkdtemp(prefix="binome-proof-"))
    try:
        (folder / PROOF).write_bytes(written(proof))
        return await vault.put(folder, proof.ended_ms, labels(proof), tell)
    finally:
        shutil.rmtree(folder)


class _Trial:
    """One copy, once."""

    def __init__(self, estate: Estate, backup: str, wanted: Wanted, tools: Tools, tell: Tell) -> None:
        self._estate, self._backup, self._wanted, self._tools, self._tell = estate, backup, wanted, tools, tell
        self._phases: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._manifest: Manifest | None = None
        self._versions: dict[str, str] = {}
        self._raw = b""

    async def proof(self) -> Proof:
        began_ms, found, verdict = self._tools.now_ms(), tuple[str, ...](), Verdict.PROVEN
        try:
            await self._tried()
        except _WrongError as error:
            verdict, found = error.verdict, error.found
        manifest, copy = self._manifest, self._wanted.copy
        one = self._estate.backups[self._backup]
        return self._tools.sign(
            Proof(
                estate=self._estate.estate,
                backup=self._backup,
                data=manifest.data if manifest else one.of,
                method=manifest.method if manifest else copy.labels.get(Label.METHOD, one.method),
                vault=self._wanted.vault,
                copy=copy.id,
                taken_by=manifest.server if manifest else copy.labels.get(Label.SERVER, ""),
                at_ms=manifest.at_ms if manifest else copy.at_ms,
                size_bytes=manifest.size_bytes if manifest else copy.size_bytes or 0,
                server="",
                began_ms=began_ms,
                ended_ms=self._tools.now_ms(),
                verdict=verdict,
                found=found,
                phases_ms={name: round(spent_s * 1000) for name, spent_s in self._phases.items()},
                compared=dict(sorted(self._counts.items())),
                versions={**(manifest.versions if manifest else {}), **self._tools.versions, **self._versions},
            )
        )

    async def _tried(self) -> None:
        """Raises _WrongError with the first thing that is wrong."""
        with self._timed(Phase.FETCH):
            manifest = self._manifest = await self._opened()
        if wrong := astray(manifest, self._tools.now_ms(), others := await self._others()):
            raise _WrongError(Verdict.ASTRAY, *wrong)
        size = TIMES * manifest.size_bytes + LEAST_BYTES
        async with self._tools.sandbox.opened(size, FILES_TIMES * len(manifest.files) + LEAST_FILES) as room:
            try:
                await self._in(room, manifest)
            except RestoreError as error:
                whole = shutil.disk_usage(room.seen(room.folder)).total >= size
                if error.why is not Unrestored.FULL or not whole:
                    raise
                words = f"it needs more than {size >> 20} MiB, {TIMES} times what was saved"
                raise _WrongError(Verdict.UNSAFE, words) from error
        with _judged(Verdict.ALTERED):
            earlier = [self._volume(one) for one in others if one.at_ms < manifest.at_ms]
            wrong = scant(self._volume(manifest), earlier)
        if wrong:
            raise _WrongError(Verdict.EMPTY, *wrong)

    async def _opened(self) -> Manifest:
        """The manifest, which has to be that of this backup."""
        with self._readable():
            self._raw = await self._tools.vault.read(self._wanted.copy.id, MANIFEST, MOST_MANIFEST_BYTES + 1)
        try:
            manifest = opened(self._raw)
        except ManifestError as error:
            raise _WrongError(Verdict.ALTERED, str(error)) from error
        if (manifest.estate, manifest.backup) != (self._estate.estate, self._backup):
            raise _WrongError(Verdict.ALTERED, f"it says that it is of {manifest.backup} of {manifest.estate}")
        if manifest.method != self._wanted.copy.labels.get(Label.METHOD):
            raise _WrongError(Verdict.ALTERED, f"it says that it was made by {manifest.method}")
        if manifest.at_ms // 1000 != self._wanted.copy.at_ms // 1000:
            raise _WrongError(Verdict.ASTRAY, "its manifest is of another time than the vault says")
        names = set(manifest.fingerprints)
        lost = set(manifest.data) - names if manifest.method != "basebackup" else ()
        if not names or lost or not names <= set(manifest.data) or not all(map(_NAME.fullmatch, names)):
            raise _WrongError(Verdict.ALTERED, "its fingerprints are not of its data")
        return manifest

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """What the vault does not give makes a verdict, unless it could not be asked, or there is no such copy."""
        try:
            yield
        except VaultError as error:
            if error.trouble in _UNASKED:
                raise
            if error.trouble is Trouble.FULL:
                raise _WrongError(Verdict.UNSAFE, "it is more than it says") from error
            raise _WrongError(Verdict.UNREADABLE, str(error)) from error

    async def _others(self) -> list[Manifest]:
        """The manifests of the newest other copies; one that cannot be read is no matter of this copy."""
        found = []
        near = sorted((one for one in self._wanted.others if one.id != self._wanted.copy.id), key=_newest_first)
        before = [one for one in near if one.at_ms < self._wanted.copy.at_ms]
        for one in (*near[: len(near) - len(before)][:1], *before[:EARLIER]):
            with suppress(VaultError, ManifestError):
                found.append(opened(await self._tools.vault.read(one.id, MANIFEST, MOST_MANIFEST_BYTES)))
        return [one for one in found if one.method == (self._manifest and self._manifest.method)]

    def _volume(self, manifest: Manifest) -> Volume:
        amounts: dict[str, int] = {}
        for fingerprint in manifest.fingerprints.values():
            for name, count in self._tools.restorer.amounts(fingerprint).items():
                amounts[name] = amounts.get(name, 0) + count
        return Volume(manifest.size_bytes, amounts)

    async def _in(self, room: Place, manifest: Manifest) -> None:
        """All that happens in the sandbox."""
        copy = room.folder / "copy"
        room.seen(copy).mkdir(mode=0o700)
        with self._timed(Phase.FETCH):
            await self._fetched(room.seen(copy), manifest)
        if self._tools.damage is not None:
            self._tell(Progress(f"damaged: {self._tools.damage(room.seen(copy))}", 0))
        with self._timed(Phase.VERIFY):
            await self._verified(room.seen(copy), manifest)
            await self._tools.sandbox.own(room, copy)
        for name, fingerprint in manifest.fingerprints.items():
            folder = room.folder / f"{name}.restored"
            room.seen(folder).mkdir(mode=0o700)
            await self._tools.sandbox.own(room, folder)
            place = room._replace(folder=folder)
            with self._timed(Phase.VERIFY), _judged(Verdict.ALTERED):
                wrong = await self._tools.restorer.verify(copy / name, fingerprint, place)
            if wrong:
                raise _WrongError(Verdict.ALTERED, *wrong)
            await self._restored(copy / name, place, manifest, name)

    async def _fetched(self, into: Path, manifest: Manifest) -> None:
        """Fetches the copy; ends that once more comes than the manifest lists."""
        most_bytes = sum(one.size_bytes for one in manifest.files.values()) + len(self._raw) + _SLACK_BYTES
        most_files = len(manifest.files) + _SLACK_FILES
        with self._readable():
            async with _watched(into, most_bytes, most_files):
                await self._tools.vault.fetch(self._wanted.copy.id, into, self._tell)

    async def _verified(self, folder: Path, manifest: Manifest) -> None:
        """Every file is what the manifest says, and there is nothing else."""
        try:
            there = dict(await asyncio.to_thread(self._tools.sums, folder, self._tell))
        except OSError as error:
            raise _WrongError(Verdict.UNREADABLE, f"{error.filename}: {error.strerror}") from error
        if strange := sorted(path for path, one in there.items() if one is None):
            raise _WrongError(Verdict.UNSAFE, *(f"{path}: it is neither a file nor a folder" for path in strange))
        there.pop(MANIFEST, None)
        if (folder / MANIFEST).read_bytes() != self._raw:
            raise _WrongError(Verdict.ALTERED, f"{MANIFEST}: it is another than the vault gave before")
        if faults := compared(manifest.files, there):
            raise _WrongError(Verdict.ALTERED, *(f"{path}: {fault.value}" for path, fault in faults))
        self._counts["files"] = len(manifest.files)

    async def _restored(self, copy: Path, place: Place, manifest: Manifest, name: str) -> None:
        """One source is restored, started, checked and compared; its engine has ended when this is left."""
        restorer, engine = self._tools.restorer, self._tools.engine()
        version, fingerprint = manifest.versions.get("server", ""), manifest.fingerprints[name]
        try:
            if restorer.needs is Needs.ENGINE:
                with self._timed(Phase.START), _judged(Verdict.UNRESTORABLE):
                    await engine.prepare(place, version)
                    place = await engine.start(place, version, self._tell)
            with self._timed(Phase.RESTORE), _judged(Verdict.UNRESTORABLE):
                place = await restorer.restore(copy, place, self._tell)
            if restorer.needs is Needs.CLUSTER:
                await self._tools.sandbox.own(place, place.folder)
                with self._timed(Phase.START), _judged(Verdict.UNRESTORABLE):
                    place = await engine.start(place, version, self._tell)
            if restorer.needs is not Needs.FOLDER:
                await self._checked(engine, place, manifest, name)
            if self._tools.fingerprints:
                with self._timed(Phase.COMPARE), _judged(Verdict.CORRUPT):
                    found = await restorer.compare(place, fingerprint, manifest.versions, self._tell)
                self._count(found)
                if found.differences:
                    raise _WrongError(Verdict.DIFFERENT, *found.differences)
        finally:
            self._versions |= engine.versions
            await engine.stop()

    async def _checked(self, engine: Engine, place: Place, manifest: Manifest, name: str) -> None:
        with self._timed(Phase.CHECK), _judged(Verdict.CORRUPT):
            found = await engine.check(place, self._tell)
            self._count(found)
            if found.differences:
                raise _WrongError(Verdict.CORRUPT, *found.differences)
            for data, queries in self._queries(manifest, name).items():
                wrong = await engine.ask(place._replace(database=data), queries)
                if wrong:
                    raise _WrongError(Verdict.DIFFERENT, *wrong)
                self._counts["checks"] = self._counts.get("checks", 0) + len(queries)

    def _queries(self, manifest: Manifest, name: str) -> dict[str, dict[str, str]]:
        """The team's own queries of a source, by database."""
        proof = self._estate.backups[self._backup].proof
        data = [name] if manifest.method != "basebackup" else list(manifest.data)
        found: dict[str, dict[str, str]] = {}
        if proof is None or manifest.method not in OF_DATABASES:
            return found
        for query, check in proof.checks.items():
            if check.of in data and check.of in self._estate.data:
                found.setdefault(self._estate.data[check.of].database or check.of, {})[query] = check.ask
        return found

    def _count(self, found: Compared) -> None:
        for name, count in found.counts.items():
            self._counts[name] = self._counts.get(name, 0) + count

    @contextmanager
    def _timed(self, phase: Phase) -> Iterator[None]:
        began_s = self._tools.clock_s()
        try:
            yield
        finally:
            self._phases[phase] = self._phases.get(phase, 0) + self._tools.clock_s() - began_s


@contextmanager
def _judged(verdict: Verdict) -> Iterator[None]:
    """What a restorer or an engine refuses is a verdict, unless this server lacks something."""
    try:
        yield
    except RestoreError as error:
        if error.why in (Unrestored.NO_TOOL, Unrestored.FULL):
            raise
        found = Verdict.UNSAFE if error.why is Unrestored.UNSAFE else verdict
        raise _WrongError(found, str(error)) from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _WrongError(Verdict.ALTERED, "its fingerprints are not of the form of its method") from error


def _newest_first(one: Stored) -> int:
    return -one.at_ms


@asynccontextmanager
async def _watched(folder: Path, most_bytes: int, most_files: int) -> AsyncIterator[None]:
    """Ends what happens inside once there is more below a folder than there may be."""
    task, grown = asyncio.current_task(), False

    async def look() -> None:
        nonlocal grown
        while not await asyncio.to_thread(_beyond, folder, most_bytes, most_files):
            await asyncio.sleep(_WATCH_S)
        grown = True
        if task is not None:
            task.cancel()

    looking = asyncio.create_task(look())
    words = f"it is more than it says: more than {most_bytes} bytes or {most_files} files"
    try:
        yield
    except asyncio.CancelledError:
        if not grown:
            raise
        if task is not None:
            task.uncancel()
        raise _WrongError(Verdict.UNSAFE, words) from None
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
    if await asyncio.to_thread(_beyond, folder, most_bytes, most_files):
        raise _WrongError(Verdict.UNSAFE, words)


def _beyond(folder: Path, most_bytes: int, most_files: int) -> bool:
    """Whether there is more below a folder than there may be; links are not followed, what vanishes counts nothing."""
    size = files = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.lstat(f"{parent}/{name}").st_size
        files += len(names)
        if size > most_bytes or files > most_files:
            return True
    return False
