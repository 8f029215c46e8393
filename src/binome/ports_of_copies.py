"""The Protocols of copies: vaults that keep them, methods that make them. They belong to ports.py, which is full.

Each has one conformance suite that all implementations pass (tests/drivers/vault_suite.py and copier_suite.py). Times
are in milliseconds since 1970, sizes in bytes. Calls can be cancelled: then nothing that they started lives on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from binome.core.copies import Progress, Stored
from binome.core.sources import Source

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
