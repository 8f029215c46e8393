"""A restic repository of snapshots alone, written without restic: hundreds of dates in no time, under a weak key.

What it needs of the format is in restic's design document: files are encrypted by AES-256 in counter mode and
authenticated by Poly1305-AES; the key's file wraps the master key by scrypt. The trees of the snapshots are missing,
which `restic forget --dry-run` does not mind.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

PASSWORD = "weak"
SCRYPT = {"N": 2, "r": 1, "p": 1}
Key = tuple[bytes, bytes, bytes]
"""For encryption (32 bytes); k and r of the authentication (16 bytes each)."""


def sealed(key: Key, plain: bytes) -> bytes:
    """What restic writes for some bytes: the vector, the cipher, the authentication."""
    encrypt, k, r = key
    vector = os.urandom(16)
    encryptor = Cipher(algorithms.AES(encrypt), modes.CTR(vector)).encryptor()
    cipher = encryptor.update(plain) + encryptor.finalize()
    block = Cipher(algorithms.AES(k), modes.ECB()).encryptor()  # Poly1305-AES is defined by it
    return vector + cipher + Poly1305.generate_tag(r + block.update(vector) + block.finalize(), cipher)


def weaken(folder: Path, password: str) -> None:
    """Wraps the master key of a repository anew, so that opening it takes no time: for tests that open it often."""
    (path,) = (folder / "keys").iterdir()
    key = json.loads(path.read_bytes())
    encrypt, _, _ = _derived(password, key)
    raw = b64decode(key["data"])
    decryptor = Cipher(algorithms.AES(encrypt), modes.CTR(raw[:16])).decryptor()
    plain = decryptor.update(raw[16:-16]) + decryptor.finalize()
    weak = {**key, **SCRYPT}
    weak["data"] = base64(sealed(_derived(password, weak), plain))
    path.unlink()
    put(folder / "keys", json.dumps(weak).encode())


def _derived(password: str, key: Mapping[str, Any]) -> Key:
    salt, most = b64decode(key["salt"]), 256 << 20
    found = hashlib.scrypt(password.encode(), salt=salt, n=key["N"], r=key["r"], p=key["p"], maxmem=most, dklen=64)
    return found[:32], found[32:48], found[48:]


def put(folder: Path, content: bytes) -> str:
    name = hashlib.sha256(content).hexdigest()
    (folder / name).write_bytes(content)
    return name


def make(folder: Path, snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Makes the repository; gives the snapshots by the ids that they have got."""
    for name in ("keys", "snapshots", "locks", "index", "data"):
        (folder / name).mkdir(parents=True)
    master: Key = (os.urandom(32), os.urandom(16), os.urandom(16))
    salt = os.urandom(64)
    wrapping = _derived(PASSWORD, {**SCRYPT, "salt": base64(salt)})
    text = {"mac": {"k": base64(master[1]), "r": base64(master[2])}, "encrypt": base64(master[0])}
    wrapped = sealed(wrapping, json.dumps(text).encode())
    key = {"created": "2026-01-01T00:00:00Z", "username": "", "hostname": "", "kdf": "scrypt", **SCRYPT}
    put(folder / "keys", json.dumps({**key, "salt": base64(salt), "data": base64(wrapped)}).encode())
    config = {"version": 1, "id": "0" * 64, "chunker_polynomial": "26e98f3fc379e5"}
    (folder / "config").write_bytes(sealed(master, json.dumps(config).encode()))
    whole = {"tree": "0" * 64, "paths": ["/x"], "hostname": "h", "username": "u"}
    return {put(folder / "snapshots", sealed(master, json.dumps({**whole, **one}).encode())): one for one in snapshots}


def base64(raw: bytes) -> str:
    return b64encode(raw).decode()
