"""The Protocols of copies: vaults that keep them, methods that make and restore them, sandboxes to restore them in.

They belong to ports.py, which is full. Each has one conformance suite that all implementations pass
(tests/drivers/vault_suite.py, copier_suite.py and restorer_suite.py). Times are in milliseconds since 1970, sizes in
bytes. Calls can be cancelled: then nothing that they started lives on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from binome.core.copies import Progress, Stored
from binome.core.sources import PORT, Source

Tell = Callable[[Progress], None]
"""Hears how far something long has come."""


class Trouble(StrEnum):
    """Why a vault did not do what it was asked."""

    UNREACHABLE = "it cannot be reached"
    NO_VAULT = "there is no vault"
    WRONG_KEY = "the key is wrong"
    FULL = "it is full"
    REFUSED = "it refuses"
    NOT_THERE = "there is no such copy"
    DAMAGED = "it is damaged"
    BUSY = "somebody else works on it"
    NO_TOOL = "a tool is missing"
    FAILED = "it failed"


class VaultError(Exception):
    """A vault did not do it. What was being put is not listed, and what was listed before still is."""

    def __init__(self, trouble: Trouble, said: str) -> None:
        super().__init__(f"{trouble.value}: {said}" if said else trouble.value)
        self.trouble = trouble


class VaultPlace(NamedTuple):
    """A vault as this server reaches it. `at` is a folder of this server, or what its kind takes besides.

    `key` and the REST server's `password` are places of secrets, or empty.
    """

    name: str
    kind: str
    at: str
    key: str = ""
    user: str = ""
    password: str = ""


class Vault(Protocol):
    """Keeps folders of files, each whole or not at all. It is made by a `VaultFactory`. Calls raise VaultError."""

    async def prepare(self) -> bool:
        """Makes the vault where there is none; whether it was made. Its folder, or its server, must be there."""

    async def put(self, folder: Path, at_ms: int, labels: Mapping[str, str], tell: Tell) -> str:
        """Keeps the files below a folder, durable when it returns; the id. Interrupted, nothing of it is listed.

        Label names and values are short words without blanks and commas. What was sent before an interruption may be
        of use to the next try.
        """

    async def list(self) -> Sequence[Stored]:
        """All that is kept, newest first."""

    async def read(self, id_: str, name: str, most_bytes: int) -> bytes:
        """One file of what is kept, by its path; no more than `most_bytes` of it."""

    async def fetch(self, id_: str, into: Path, tell: Tell) -> None:
        """Writes what is kept into an empty folder."""

    async def delete(self, ids: Sequence[str], tell: Tell) -> None:
        """Lets go of some, and of the room that they took. Again without harm."""

    async def check(self, tell: Tell, *, read: bool) -> Sequence[str]:
        """What is damaged, a line each; nothing where all is whole. With `read` every byte is read, else the index."""


VaultFactory = Callable[[VaultPlace, Callable[[str], str]], Vault]
"""What an entry point of the group `binome.vaults` names; its name is the kind. It is given what finds secrets."""


class Unsaved(StrEnum):
    """Why a method could not copy."""

    UNREACHABLE = "what is to be saved cannot be reached"
    REFUSED = "it may not be read"
    NOT_THERE = "it is not there"
    FULL = "there is no room for the copy"
    CANNOT = "this method cannot copy it"
    NO_TOOL = "a tool is missing"
    FAILED = "it failed"


class CopyError(Exception):
    """Nothing was copied; what stands in the folder is of no use."""

    def __init__(self, why: Unsaved, said: str) -> None:
        super().__init__(f"{why.value}: {said}" if said else why.value)
        self.why = why


class Copied(NamedTuple):
    """What a method made. `at_ms` is the moment that it is a copy of, by this server's clock.

    `fingerprint` is what the method compares after a restore, as JSON can say it; `versions` are of all that took part.
    """

    at_ms: int
    fingerprint: dict[str, object]
    versions: dict[str, str]


class Copier(Protocol):
    """One method of copying. It is made by a `CopierFactory`."""

    async def copy(self, source: Source, into: Path, tell: Tell) -> Copied:
        """Writes a copy of the source into an empty folder: files and folders alone. Raises CopyError."""

    async def verify(self, folder: Path, fingerprint: Mapping[str, object]) -> Sequence[str]:
        """What is wrong with a copy as far as can be seen without restoring it, a line each. Raises CopyError."""


CopierFactory = Callable[[Callable[[str], str]], Copier]
"""What an entry point of the group `binome.backups` names; its name is the method. It is given what finds secrets."""


class Needs(StrEnum):
    """What a method restores into."""

    ENGINE = "engine"  # one that runs and has nothing of it yet: roles and rows are loaded into it
    CLUSTER = "cluster"  # an empty folder: an engine of the same major version is started on it afterwards
    FOLDER = "folder"  # an empty folder, for files or repositories


class Place(NamedTuple):
    """Where a copy of one source is restored to.

    `folder` is empty (of an engine that runs: a folder for scratch files). Commands are run behind the words of
    `within`, which may lead into namespaces and to another user; `root` is what their `/` is for this process, so that
    `seen` gives the path by which this process finds one of theirs. An engine is reached at `host` (an address, or the
    folder of its socket as the commands see it) and `port` as `user`; `password` is itself, not the place of one.
    `database` is where the rows are; empty before a restore that makes one of the name that was saved. `uid`, where it
    is given, is the user whose engine it must be: nobody else's is asked.
    """

    folder: Path
    within: tuple[str, ...] = ()
    root: Path = Path("/")
    host: str = ""
    port: int = PORT
    user: str = ""
    password: str = ""
    database: str = ""
    uid: int | None = None

    def seen(self, path: Path) -> Path:
        """The path by which this process finds an absolute path of the commands'."""
        return self.root / path.relative_to("/")


class Unrestored(StrEnum):
    """Why a method could not restore, or not compare."""

    BROKEN = "it cannot be restored"
    UNSAFE = "it holds what no copy holds"
    OCCUPIED = "something is there already"
    FULL = "there is no room for it"
    UNREACHABLE = "the engine cannot be reached"
    NO_TOOL = "a tool is missing"


class RestoreError(Exception):
    """Nothing of use was restored; what stands in the place is to be thrown away."""

    def __init__(self, why: Unrestored, said: str) -> None:
        super().__init__(f"{why.value}: {said}" if said else why.value)
        self.why = why


class Compared(NamedTuple):
    """What was compared, numbers by words such as `tables`, and a line for each difference."""

    counts: dict[str, int]
    differences: tuple[str, ...]


class Restorer(Protocol):
    """How one method's copies are restored. It is made by a `RestorerFactory`.

    `copy` is the folder of one source in a fetched copy, as the commands of the place see it, whose files are those of
    its manifest already. It may be used up: what is fetched for a restore is nothing but that. `versions` are those of
    the manifest.
    """

    needs: Needs

    async def verify(self, copy: Path, fingerprint: Mapping[str, Any], place: Place) -> Sequence[str]:
        """What the method's own tools find wrong before anything is restored, a line each. Raises RestoreError."""

    async def restore(self, copy: Path, place: Place, tell: Tell) -> Place:
        """Restores into a place; the place, with what is known of it now. Raises RestoreError."""

    async def compare(
        self, place: Place, fingerprint: Mapping[str, Any], versions: Mapping[str, str], tell: Tell
    ) -> Compared:
        """Asks what was restored the questions of the fingerprint. An engine runs on it by now. Raises RestoreError."""

    def amounts(self, fingerprint: Mapping[str, Any]) -> Mapping[str, int]:
        """How much was saved, numbers by words such as `rows`: what is held against earlier copies."""


RestorerFactory = Callable[[], Restorer]
"""What an entry point of the group `binome.restorers` names; its name is the method."""


class Engine(Protocol):
    """A scratch engine: it runs in a place for as long as a proof needs it. Calls raise RestoreError.

    `versions` are of what takes part, by name, once it has been started.
    """

    versions: dict[str, str]

    async def prepare(self, place: Place, version: str) -> None:
        """Makes an empty cluster in the place's folder, by tools of that version or the next newer."""

    async def start(self, place: Place, version: str, tell: Tell) -> Place:
        """Starts it on the cluster in the place's folder, alone, with its own settings; the place once it answers."""

    async def check(self, place: Place, tell: Tell) -> Compared:
        """Reads all of it: heaps and indexes, against each other. What was read, and what is broken."""

    async def ask(self, place: Place, queries: Mapping[str, str]) -> Sequence[str]:
        """Asks queries, by name, that are to answer with true; a line for each that does not."""

    async def stop(self) -> None:
        """Ends it, whatever it is doing. Again without harm."""


class NoSandboxError(Exception):
    """This server cannot fence a sandbox off; the message says what is missing."""


class Sandbox(Protocol):
    """Fences off places: another user, no network, no room but its own. It raises NoSandboxError."""

    def opened(self, size_bytes: int, files: int) -> AbstractAsyncContextManager[Place]:
        """A place for that much and no more, or less where the disk has less.

        It ends with all that runs in it, also should this process be killed.
        """

    async def own(self, place: Place, folder: Path) -> None:
        """Gives what lies below a folder of the place to the user that its commands run as."""
