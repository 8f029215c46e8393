"""Copies: what a backup leaves in a vault, and how it is known again.

A copy is a folder with what was saved of each data in a folder of its name, and `copy.json` at the top: the manifest.
It says what was saved, when, from where, by which method and which versions, every file with its size and its SHA-256,
and of each data the *fingerprint*: what must come out again when a restored copy is asked the same questions. The
manifest is sealed by a hash over itself, so that one that was cut or altered is never believed. The seal is no
signature: whoever can write into a vault can seal. What is authentic about a copy is its vault's encryption.

A copy holds regular files and folders, and nothing else. Links, owners and devices of what was saved are inside an
archive, where no tool creates them by merely fetching a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

FORM = 1
MANIFEST = "copy.json"
MOST_MANIFEST_BYTES = 256 << 20
"""A million files are about 150 MB of manifest; what is longer is no manifest."""


class ManifestError(Exception):
    """A manifest that cannot be believed; the message says why."""


class File(msgspec.Struct, frozen=True, array_like=True):
    """One file of a copy."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a copy says of itself. `at_ms` is the moment that it is a copy of; `files` are by their path in the copy.

    `fingerprints` are by data: values that a method defines, and compares.
    """

    form: int = FORM
    estate: str
    backup: str
    method: str
    server: str
    data: tuple[str, ...]
    began_ms: int
    at_ms: int
    ended_ms: int
    size_bytes: int
    versions: dict[str, str]
    fingerprints: dict[str, dict[str, Any]]
    files: dict[str, File]
    seal: str = ""


def sealed(manifest: Manifest) -> bytes:
    """The manifest as it is written, with its seal."""
    return msgspec.json.encode(msgspec.structs.replace(manifest, seal=_seal(manifest)), order="deterministic")


def opened(raw: bytes) -> Manifest:
    """The manifest of these bytes. Raises ManifestError where it is not whole, or of a form that is not known."""
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ManifestError(f"{MANIFEST} cannot be read: {error}") from error
    if manifest.form != FORM:
        raise ManifestError(f"{MANIFEST} is of form {manifest.form}, and this version knows {FORM}")
    if manifest.seal != _seal(manifest):
        raise ManifestError(f"{MANIFEST} was altered: its seal does not fit")
    return manifest


def _seal(manifest: Manifest) -> str:
    unsealed = msgspec.structs.replace(manifest, seal="")
    return sha256(msgspec.json.encode(unsealed, order="deterministic")).hexdigest()


class Fault(StrEnum):
    """What is wrong with the files of a copy, by its manifest."""

    MISSING = "it is missing"
    EXTRA = "nobody saved it"
    TRUNCATED = "it is shorter than what was saved"
    GROWN = "it is longer than what was saved"
    ALTERED = "its content is not what was saved"
    NO_FILE = "it is neither a file nor a folder"


class Faulty(NamedTuple):
    """One file that is not as it was saved."""

    path: str
    fault: Fault


def compared(expected: Mapping[str, File], found: Mapping[str, File | None]) -> tuple[Faulty, ...]:
    """What differs, by path; None stands for what is no regular file. The manifest itself is in neither."""
    faults = []
    for path in sorted({*expected, *found}):
        was, is_ = expected.get(path), found.get(path)
        if path in found and is_ is None:
            faults.append(Faulty(path, Fault.NO_FILE))
        elif is_ is None:
            faults.append(Faulty(path, Fault.MISSING))
        elif was is None:
            faults.append(Faulty(path, Fault.EXTRA))
        elif is_.size_bytes != was.size_bytes:
            shorter = is_.size_bytes < was.size_bytes
            faults.append(Faulty(path, Fault.TRUNCATED if shorter else Fault.GROWN))
        elif is_.sha256 != was.sha256:
            faults.append(Faulty(path, Fault.ALTERED))
    return tuple(faults)


class Label(StrEnum):
    """What the labels of a stored folder say."""

    ESTATE = "estate"
    BACKUP = "backup"
    METHOD = "method"
    SERVER = "server"
    KIND = "kind"  # copy | proof
    OF = "of"  # of a proof: the id of the copy
    VERDICT = "verdict"
    BYTES = "bytes"


class Stored(NamedTuple):
    """A folder in a vault. `at_ms` is the moment that it is of, in whole seconds; labels are short words by name."""

    id: str
    at_ms: int
    labels: Mapping[str, str]

    @property
    def size_bytes(self) -> int | None:
        """How much was put; None where the labels do not say."""
        text = self.labels.get(Label.BYTES, "")
        return int(text) if text.isascii() and text.isdecimal() else None


class Progress(NamedTuple):
    """How far something long has come. `total_bytes` may be an estimate; None where there is none."""

    what: str
    done_bytes: int
    total_bytes: int | None = None
