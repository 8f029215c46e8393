"""Vaults of kind restic: on a disk, behind a REST server (rclone), behind SFTP."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from binome.drivers.vault.restic import ResticVault
from binome.ports_of_copies import Trouble, Vault, VaultError, VaultPlace
from tests.drivers import restic_repository
from tests.drivers.vault_suite import AT_MS, LABELS, VaultSuite, filled, run, silent

KEY = "a-key-of-some-length"
SFTP = Path("/usr/lib/openssh/sftp-server")


def secret(place: str) -> str:
    return {"env:KEY": KEY, "env:OTHER": "another", "env:LOGIN": "pass/word"}[place]


def flip(path: Path) -> None:
    path.chmod(0o600)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def locked(root: Path) -> bool:
    return any(len(path.name) == 64 for path in (root / "locks").iterdir())


@contextmanager
def served(root: Path, *more: str, port: int = 0) -> Iterator[int]:
    """rclone's REST server for a folder; gives its port."""
    with closing(socket.socket()) as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    command = ["rclone", "serve", "restic", "--config=", "--addr", f"127.0.0.1:{port}", *more, str(root)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until_s = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < until_s and process.poll() is None, "rclone does not serve"
                    time.sleep(0.02)
            yield port
        finally:
            process.kill()


class ResticSuite(VaultSuite):
    @pytest.fixture
    def vault(self, root: Path) -> Iterator[Vault]:
        vault = self.make(root)
        assert run(vault.prepare()) is True
        restic_repository.weaken(root, KEY)
        yield vault

    def place(self, root: Path) -> str:
        return str(root)

    def make(self, root: Path, key: str = "env:KEY", patience_s: float = 2) -> Vault:
        return ResticVault(VaultPlace("away", "restic", self.place(root), key), secret, patience_s=patience_s)

    def packs(self, root: Path) -> list[Path]:
        return sorted((path for path in root.glob("data/*/*") if path.is_file()), key=lambda path: path.stat().st_size)

    def damage(self, root: Path) -> None:
        flip(self.packs(root)[-1])

    def lose(self, root: Path) -> None:
        self.packs(root)[-1].unlink()

    def killed_put(self, root: Path, folder: Path) -> str:
        return (
            "import asyncio, pathlib\n"
            "from tests.drivers.test_vault_restic import *\n"
            f"vault = ResticVault(VaultPlace('away', 'restic', {self.place(root)!r}, 'env:KEY'), secret)\n"
            f"asyncio.run(vault.put(pathlib.Path({str(folder)!r}), AT_MS, LABELS, tell))\n"
        )

    def test_a_lock_of_the_dead_stops_nobody_however_slow_the_machine(
        self, vault: Vault, root: Path, tmp_path: Path
    ) -> None:
        self.kill_a_put(root, filled(tmp_path / "from", self.big_bytes))
        assert list(root.glob("locks/*")), "the lock that was left behind"
        impatient = self.make(root, patience_s=0.0)
        assert run(impatient.check(silent, read=False)) == []

    def test_a_wrong_key_and_a_missing_one(self, vault: Vault, root: Path) -> None:
        with pytest.raises(VaultError) as refused:
            run(self.make(root, "env:OTHER").list())
        assert refused.value.trouble is Trouble.WRONG_KEY, refused.value

        def nowhere(place: str) -> str:
            raise FileNotFoundError(2, "No such file or directory", place)

        lost = ResticVault(VaultPlace("away", "restic", self.place(root), "file:/none"), nowhere)
        with pytest.raises(VaultError) as refused:
            run(lost.list())
        assert refused.value.trouble is Trouble.WRONG_KEY and "file:/none" in str(refused.value)


@pytest.mark.lab
class TestLocal(ResticSuite):
    def unreachable(self, root: Path) -> Vault:
        return self.make(root / "not" / "mounted")

    def test_unreachable(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(VaultError) as refused:
            run(self.unreachable(root).prepare())
        assert refused.value.trouble is Trouble.UNREACHABLE, refused.value
        assert not (root / "not").exists(), "nothing is made on the disk below"

    def test_the_key_is_nowhere_to_be_seen(self, vault: Vault, tmp_path: Path) -> None:
        seen: set[bytes] = set()
        looked = []

        def look(_: object) -> None:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if (process / "comm").read_text() == "restic\n":
                        looked.append((process / "cmdline").read_bytes())
                        seen.update(((process / "cmdline").read_bytes(), (process / "environ").read_bytes()))
                except OSError:
                    continue

        run(vault.put(filled(tmp_path / "from", 20_000_000), AT_MS, LABELS, look))
        assert looked and not any(KEY.encode() in text for text in seen)

    def test_the_lock_of_a_dead_process_is_in_nobodys_way(self, vault: Vault, root: Path, tmp_path: Path) -> None:
        folder = filled(tmp_path / "from", self.big_bytes)
        given = {**os.environ, "RESTIC_PASSWORD": KEY, "RESTIC_PROGRESS_FPS": "20"}
        command = ["restic", "-r", str(root), "--json", "check", "--read-data"]
        run(vault.put(folder, AT_MS, LABELS, silent))
        with subprocess.Popen(command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            until_s = time.monotonic() + 20
            while not locked(root):
                assert time.monotonic() < until_s and process.poll() is None
            process.kill()
        assert locked(root), "its exclusive lock is still there"
        run(vault.delete([run(vault.list())[0].id], silent))
        assert run(vault.list()) == []

    def test_somebody_at_work_is_said(self, vault: Vault, root: Path, tmp_path: Path) -> None:
        id_ = run(vault.put(filled(tmp_path / "from", self.big_bytes), AT_MS, LABELS, silent))
        given = {**os.environ, "RESTIC_PASSWORD": KEY}
        command = ["restic", "-r", str(root), "--json", "check", "--read-data"]
        with subprocess.Popen(command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                until_s = time.monotonic() + 20
                while not locked(root):
                    assert time.monotonic() < until_s and process.poll() is None
                os.kill(process.pid, 19)  # SIGSTOP: it is alive, and takes its time
                with pytest.raises(VaultError) as refused:
                    run(vault.delete([id_], silent))
                assert refused.value.trouble is Trouble.BUSY, refused.value
            finally:
                process.kill()

    def test_without_restic_that_is_said(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(VaultError, match="restic is not installed") as refused:
            run(self.make(root).list())
        assert refused.value.trouble is Trouble.NO_TOOL


@pytest.mark.lab
class TestRest(ResticSuite):
    full = frozenset({Trouble.FULL, Trouble.FAILED})  # rclone says 500, and not why
    port = 0

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Path]:
        root = tmp_path / "disk" / "vault"
        root.mkdir(parents=True)
        with served(root) as port:
            self.port = port
            yield root

    def place(self, root: Path) -> str:
        return f"rest:http://127.0.0.1:{self.port}/"

    def unreachable(self, root: Path) -> Vault:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            nobody = f"rest:http://127.0.0.1:{free.getsockname()[1]}/"
        return ResticVault(VaultPlace("away", "restic", nobody, "env:KEY"), secret, patience_s=2)

    def test_a_server_that_goes_away_is_given_up(self, tmp_path: Path) -> None:
        root = tmp_path / "other"
        root.mkdir()
        with served(root) as self.port:
            vault = self.make(root)
            run(vault.prepare())
            first = run(vault.put(filled(tmp_path / "a"), AT_MS, LABELS, silent))
            again = self.port
        with pytest.raises(VaultError) as refused:
            run(vault.list())
        assert refused.value.trouble is Trouble.UNREACHABLE, refused.value
        with served(root, port=again):
            assert [one.id for one in run(vault.list())] == [first]


@pytest.mark.lab
class TestAppendOnly:
    """A server that was stolen cannot delete its history: it only may add to it."""

    def test_it_takes_and_lets_nothing_go(self, tmp_path: Path) -> None:
        root = tmp_path / "vault"
        root.mkdir()
        login = ("--user", "gra-db", "--pass", "pass/word")
        with served(root, "--append-only", *login) as port:
            at = f"rest:http://127.0.0.1:{port}/"
            place = VaultPlace("away", "restic", at, "env:KEY", "gra-db", "env:LOGIN")
            vault = ResticVault(place, secret, patience_s=2)
            run(vault.prepare())
            ids = [run(vault.put(filled(tmp_path / name), AT_MS, LABELS, silent)) for name in ("a", "b")]
            began_s = time.monotonic()
            with pytest.raises(VaultError) as refused:
                run(vault.delete([ids[0]], silent))
            assert refused.value.trouble is Trouble.REFUSED, refused.value
            assert time.monotonic() - began_s < 20, "nobody waits for 15 minutes"
            assert {one.id for one in run(vault.list())} == set(ids)
            assert run(vault.check(silent, read=True)) == []
            stranger = ResticVault(place._replace(password="env:OTHER"), secret, patience_s=2)
            with pytest.raises(VaultError) as refused:
                run(stranger.list())
            assert refused.value.trouble is Trouble.REFUSED, refused.value
            assert "another" not in str(refused.value)


@pytest.mark.lab
@pytest.mark.skipif(not SFTP.exists(), reason="no SFTP server is installed")
class TestSftp(ResticSuite):
    full = frozenset({Trouble.FULL, Trouble.FAILED})  # SFTP has no word for it

    def make(self, root: Path, key: str = "env:KEY", patience_s: float = 2) -> Vault:
        place = VaultPlace("away", "restic", f"sftp:nobody@127.0.0.1:{root}", key)
        return ResticVault(place, secret, patience_s=patience_s, sftp=str(SFTP))

    def unreachable(self, root: Path) -> Vault:
        place = VaultPlace("away", "restic", f"sftp:nobody@127.0.0.1:{root}", "env:KEY")
        return ResticVault(place, secret, patience_s=2, sftp="/bin/false")

    def killed_put(self, root: Path, folder: Path) -> str:
        return (
            "import asyncio, pathlib\n"
            "from tests.drivers.test_vault_restic import *\n"
            f"vault = TestSftp().make(pathlib.Path({str(root)!r}))\n"
            f"asyncio.run(vault.put(pathlib.Path({str(folder)!r}), AT_MS, LABELS, tell))\n"
        )
