"""Signed heads: what a server says the journal was, in its own hand, kept where the journal's file is not.

    estate, sequence, hash, generation, at_ms, signer   ► ed25519 with the signer's key ►   FOLDER/ESTATE-SIGNER.head

Whoever can write the journal's file can make a whole new chain in it. A head that was signed before, and copied to
other fault domains, says what the chain was up to there. A signature tells who signed only to somebody who knows the
signer's public key from elsewhere; without that it tells no more than that the head file is in one piece.

A head file is replaced by newer heads of its signer alone. One that is older, or contradicts it, is refused: it would
destroy the very evidence that the journal lost its end.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from binome.core.entry import Head

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SUFFIX = ".head"
_DOMAIN = b"binome head 1\n"  # what the key signs can never be mistaken for anything else it may sign


class HeadError(Exception):
    """A key or a head that cannot be used; the message says which and why."""


class SignedHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The head of a journal, signed. `key` is the signer's public key, `signature` over all before it; both in hex."""

    estate: str
    sequence: int
    hash: str
    generation: int
    at_ms: int
    signer: str
    key: str
    signature: str

    @property
    def head(self) -> Head:
        """The head that was signed."""
        return Head(self.sequence, self.hash, self.generation)


_decoder = msgspec.json.Decoder(SignedHead)


# -- keys


def key_at(path: Path) -> Ed25519PrivateKey:
    """The private key in a file of mode 0600, made at its first use. Raises HeadError."""
    try:
        if not path.exists():
            _make_key(path)
        if path.stat().st_mode & 0o077:
            raise HeadError(f"{path}: others may read this key; chmod 600, or make a new one")
        return _loaded(path)
    except OSError as error:
        raise HeadError(f"{path}: {error.strerror}") from error


def _make_key(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, pem, mode=0o600, once=True)


def _loaded(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise HeadError(f"{path}: this is no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise HeadError(f"{path}: this is no ed25519 key")
    return key


def public(key: Ed25519PrivateKey) -> str:
    """The public half of a key, in hex."""
    return key.public_key().public_bytes_raw().hex()


# -- heads


def sign(key: Ed25519PrivateKey, head: Head, *, estate: str, signer: str, at_ms: int) -> SignedHead:
    """Signs a head. The same head, key and time give the same signature."""
    unsigned = SignedHead(estate, head.sequence, head.hash, head.generation, at_ms, signer, public(key), "")
    return msgspec.structs.replace(unsigned, signature=key.sign(_signed_bytes(unsigned)).hex())


def _signed_bytes(signed: SignedHead) -> bytes:
    return _DOMAIN + msgspec.json.encode(msgspec.structs.astuple(signed)[:-1])


def objection(signed: SignedHead, trusted: Collection[str] = ()) -> str | None:
    """Why a head is not to be believed, in words; None where its signature is good, by a trusted key if any are."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    if trusted and signed.key not in trusted:
        return f"signed with another key, {signed.key}"
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed.key))
        key.verify(bytes.fromhex(signed.signature), _signed_bytes(signed))
    except (InvalidSignature, ValueError):
        return "its signature is not over what it says"
    return None


def write(folder: Path, signed: SignedHead) -> Path:
    """Puts a head into a folder, in the place of its signer's older one; durable when it returns.

    Raises HeadError where the one that is there is newer or contradicts it, or where the folder cannot be written.
    """
    path = folder / f"{signed.estate}-{signed.signer}{SUFFIX}"
    try:
        if path.exists():
            there = load(path)
            if there.sequence > signed.sequence or (there.sequence == signed.sequence and there.hash != signed.hash):
                raise HeadError(
                    f"{path}: entry {there.sequence} was signed already; the journal lost it, or was forked"
                )
        _write(path, msgspec.json.encode(signed) + b"\n", mode=0o644)
    except OSError as error:
        raise HeadError(f"{path}: {error.strerror}") from error
    return path


def load(path: Path) -> SignedHead:
    """The head in a file, whatever its signature. Raises HeadError where it holds none."""
    try:
        return _decoder.decode(path.read_bytes())
    except OSError as error:
        raise HeadError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HeadError(f"{path}: this is no signed head: {error}") from error


def load_all(folders: Iterable[Path]) -> dict[Path, SignedHead]:
    """Every head file of some folders. Raises HeadError for a folder or a file that cannot be read."""
    heads = {}
    for folder in folders:
        if not folder.is_dir():
            raise HeadError(f"{folder}: no such folder")
        heads.update({path: load(path) for path in sorted(folder.glob(f"*{SUFFIX}"))})
    return heads


def _write(path: Path, content: bytes, *, mode: int, once: bool = False) -> None:
    """Writes a file as a whole or not at all; it is durable, and so is its name, when this returns.

    With `once` a file that is there already stays, also one that another process has just written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(file)
        if once:
            with suppress(FileExistsError):
                path.hardlink_to(temporary)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
