"""Vaults and methods are found by entry points, ours as others'; every module of theirs is registered."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from binome.drivers import backup, restore, vault
from binome.drivers.entries import EntryError, found
from binome.drivers.vault.directory import DirectoryVault
from binome.estate import Estate, load
from binome.ports_of_copies import VaultPlace
from tests.drivers.copier_suite import no_secret
from tests.drivers.installed import install, registered


@pytest.mark.parametrize("family", [backup, restore, vault])
def test_every_module_is_registered(family: object, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    modules = {path.stem for path in Path(str(family.__file__)).parent.glob("*.py")} - {"__init__"}  # type: ignore[attr-defined]
    group = family.GROUP  # type: ignore[attr-defined]
    assert modules == {one.name for one in registered(group)}
    for name in modules:
        assert found(group, name).__module__ == f"{family.__name__}.{name}"  # type: ignore[attr-defined]


def test_what_is_not_there_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = EntryPoint("restic", "tests.drivers.installed:install", vault.GROUP)
    install(monkeypatch, twice, EntryPoint("absent", "binome_absent:Vault", vault.GROUP))
    for name, words in (
        ("resticc", r"knows resticc\.  Did you mean restic\?"),
        ("restic", r"restic is registered by binome.* and tests.*  Remove one\."),
        ("absent", r"absent cannot be loaded: No module named 'binome_absent'\.  Install the extra `binome\[backup\]`"),
    ):
        with pytest.raises(EntryError, match=words):
            found(vault.GROUP, name)
    with pytest.raises(ValueError, match="vault away: nothing that is installed knows x9"):
        vault.load(VaultPlace("away", "x9", "/"), no_secret)
    with pytest.raises(ValueError, match=r"a restic vault needs a key\.  Add key: to vaults\.away"):
        install(monkeypatch)
        vault.load(VaultPlace("away", "restic", "/"), no_secret)
    assert isinstance(vault.load(VaultPlace("away", "directory", "/"), no_secret), DirectoryVault)
    with pytest.raises(ValueError, match=r"knows dmp\.  Did you mean dump"):
        backup.load("dmp", no_secret)


ESTATE = b"""
sites: {s: {}}
servers:
  a: {site: s, address: 10.0.0.1}
  b: {site: s, address: 10.0.0.2}
  six: {site: s, address: "fd00::1"}
  c: {site: s}
vaults:
  plain: {kind: restic, on: a, path: /srv/vault, key: "env:KEY"}
  six-vault: {kind: restic, on: six, path: /srv/vault, key: "env:KEY"}
  rest:
    kind: restic
    on: a
    path: /srv/vault
    url: "rest:https://a.example/"
    user: b
    password: "env:P"
    key: "env:KEY"
  lone: {kind: restic, on: c, path: /srv/vault, key: "env:KEY"}
  disk: {kind: directory, on: a, path: /srv/vault}
"""


def test_how_a_server_reaches_a_vault() -> None:
    estate: Estate = load(ESTATE)
    assert vault.place_of(estate, "plain", "a") == VaultPlace("plain", "restic", "/srv/vault", "env:KEY")
    assert vault.place_of(estate, "plain", "b").at == "sftp:10.0.0.1:/srv/vault"
    assert vault.place_of(estate, "six-vault", "b").at == "sftp:[fd00::1]:/srv/vault"
    assert vault.place_of(estate, "rest", "b") == VaultPlace(
        "rest", "restic", "rest:https://a.example/", "env:KEY", "b", "env:P"
    )
    with pytest.raises(ValueError, match="c has no address"):
        vault.place_of(estate, "lone", "b")
    with pytest.raises(ValueError, match=r"is a directory of a, and b is another\.  Use kind restic"):
        vault.place_of(estate, "disk", "b")
