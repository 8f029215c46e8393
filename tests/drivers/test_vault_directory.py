"""Vaults of kind directory."""

from __future__ import annotations

from pathlib import Path

from binome.drivers.vault.directory import DirectoryVault
from binome.ports_of_copies import Vault, VaultPlace
from tests.drivers.vault_suite import AT_MS, LABELS, VaultSuite, filled, run, silent


def no_secret(place: str) -> str:
    raise OSError(place)


class TestDirectory(VaultSuite):
    def make(self, root: Path) -> Vault:
        return DirectoryVault(VaultPlace("away", "directory", str(root)), no_secret)

    def unreachable(self, root: Path) -> Vault:
        return self.make(root / "not" / "mounted")

    def damage(self, root: Path) -> None:
        (path,) = root.glob("2*/contacts/big")
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)

    def lose(self, root: Path) -> None:
        (path,) = root.glob("2*/contacts/big")
        path.unlink()

    def killed_put(self, root: Path, folder: Path) -> str:
        return (
            "import asyncio, pathlib\n"
            "from tests.drivers.test_vault_directory import *\n"
            f"vault = TestDirectory().make(pathlib.Path({str(root)!r}))\n"
            f"asyncio.run(vault.put(pathlib.Path({str(folder)!r}), AT_MS, LABELS, tell))\n"
        )

    def test_what_a_killed_put_left_is_swept_away(self, root: Path, tmp_path: Path) -> None:
        vault = self.make(root)
        run(vault.prepare())
        (root / "part-20260101T000000Z-00000000").mkdir()
        (root / "20260101T000000Z-11111111").mkdir()  # named, and killed before it was listed
        (root / "part-20260101T000000Z-00000000.json").write_text("{}")
        assert run(vault.list()) == []
        id_ = run(vault.put(filled(tmp_path / "from"), AT_MS, LABELS, silent))
        assert sorted(path.name for path in root.iterdir()) == sorted([id_, f"{id_}.json"])

    def test_extra_files_links_and_lost_words_are_found(self, root: Path, tmp_path: Path) -> None:
        vault = self.make(root)
        run(vault.prepare())
        id_ = run(vault.put(filled(tmp_path / "from"), AT_MS, LABELS, silent))
        (root / id_ / "more").write_text("x")
        (root / id_ / "link").symlink_to("/etc/passwd")
        assert run(vault.check(silent, read=False)) == [
            f"{id_}/link: it is neither a file nor a folder",
            f"{id_}/more: nobody saved it",
        ]
        (root / f"{id_}.json").write_text("{")
        assert run(vault.check(silent, read=False)) == [f"it is damaged: {id_}.json cannot be read"]
