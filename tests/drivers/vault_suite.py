"""What every vault is held to, whatever its kind.

A kind's own test says how a vault of it is made, reached and damaged, and inherits the rest. What a kind does not have
(a key, a mode in which it only takes) it does not fill in.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from binome.core.copies import Progress
from binome.ports_of_copies import Trouble, Vault, VaultError

T = TypeVar("T")
PR_SET_CHILD_SUBREAPER = 36
AT_MS = 1_790_000_000_000
LABELS = {"backup": "nightly", "method": "dump", "kind": "copy"}


def silent(_: Progress) -> None:
    """Nobody listens."""


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def tree(folder: Path) -> dict[str, bytes]:
    """Files by path with their content, and folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in sorted(folder.rglob("*"))
    }


def filled(folder: Path, size_bytes: int = 100_000, seed: int = 1) -> Path:
    """A folder with files of that many bytes in all, which do not compress."""
    (folder / "contacts" / "hollow").mkdir(parents=True)
    content = random.Random(seed).randbytes(size_bytes)
    (folder / "contacts" / "big").write_bytes(content)
    (folder / "contacts" / "empty").write_bytes(b"")
    (folder / "copy.json").write_bytes(b'{"form":1}')
    return folder


class VaultSuite:
    """The suite; a class `TestX(VaultSuite)` fills in what is of its kind."""

    big_bytes = 60_000_000
    """So much that putting it can be interrupted."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Path]:
        """Where the vault's files are, on this machine; its parent is there."""
        (tmp_path / "disk").mkdir()
        yield tmp_path / "disk" / "vault"

    full: frozenset[Trouble] = frozenset({Trouble.FULL})
    """What a full disk is called."""

    def make(self, root: Path) -> Vault:
        """A vault at that place, prepared or not."""
        raise NotImplementedError

    def unreachable(self, root: Path) -> Vault:
        """A vault that nobody can reach."""
        raise NotImplementedError

    def damage(self, root: Path) -> None:
        """Alters a byte of what was put."""
        raise NotImplementedError

    def lose(self, root: Path) -> None:
        """Takes away one of the files of what was put."""
        raise NotImplementedError

    def on_small_disk(self, root: Path, size_bytes: int) -> AbstractContextManager[None]:
        """The place is on a disk of that size."""
        return small_disk(root.parent, size_bytes)

    def killed_put(self, root: Path, folder: Path) -> str:
        """Python lines that put a folder into that vault, for another process to be killed."""
        raise NotImplementedError

    @pytest.fixture
    def vault(self, root: Path) -> Iterator[Vault]:
        vault = self.make(root)
        assert run(vault.prepare()) is True
        yield vault

    def test_it_is_made_once(self, vault: Vault) -> None:
        assert run(vault.prepare()) is False
        assert run(vault.list()) == []

    def test_what_was_put_is_listed_and_fetched(self, vault: Vault, tmp_path: Path) -> None:
        told: list[Progress] = []
        folder, into = filled(tmp_path / "from"), tmp_path / "into"
        into.mkdir()
        id_ = run(vault.put(folder, AT_MS + 999, LABELS, told.append))
        (one,) = run(vault.list())
        assert (one.id, one.at_ms, one.size_bytes) == (id_, AT_MS, 100_010)
        assert {**LABELS}.items() <= one.labels.items()
        run(vault.fetch(id_, into, told.append))
        assert tree(into) == tree(folder)
        assert run(vault.read(id_, "copy.json", 1000)) == b'{"form":1}'
        assert run(vault.read(id_, "copy.json", 4)) == b'{"fo'
        assert max(one.done_bytes for one in told if one.what in {"fetched", "stored"}) >= 100_000
        assert {one.total_bytes for one in told} >= {100_010}

    def test_the_newest_comes_first(self, vault: Vault, tmp_path: Path) -> None:
        folder = filled(tmp_path / "from")
        ids = [run(vault.put(folder, AT_MS + days * 86_400_000, LABELS, silent)) for days in (1, 3, 2)]
        assert [one.id for one in run(vault.list())] == [ids[1], ids[2], ids[0]]

    def test_what_is_deleted_is_gone_and_the_others_are_whole(self, vault: Vault, tmp_path: Path) -> None:
        first = run(vault.put(filled(tmp_path / "a", seed=1), AT_MS, LABELS, silent))
        second = run(vault.put(filled(tmp_path / "b", seed=2), AT_MS + 1000, LABELS, silent))
        run(vault.delete([first, first], silent))
        run(vault.delete([first], silent))
        run(vault.delete([], silent))
        assert [one.id for one in run(vault.list())] == [second]
        assert run(vault.check(silent, read=True)) == []
        (tmp_path / "into").mkdir()
        run(vault.fetch(second, tmp_path / "into", silent))
        assert tree(tmp_path / "into") == tree(tmp_path / "b")

    def test_what_was_never_put_is_not_there(self, vault: Vault, tmp_path: Path) -> None:
        id_ = run(vault.put(filled(tmp_path / "from"), AT_MS, LABELS, silent))
        (tmp_path / "into").mkdir()
        for work in (
            vault.read(id_, "nothing", 10),
            vault.read("0" * 64, "copy.json", 10),
            vault.fetch("0" * 64, tmp_path / "into", silent),
        ):
            with pytest.raises(VaultError) as refused:
                run(work)
            assert refused.value.trouble is Trouble.NOT_THERE, refused.value

    @pytest.mark.parametrize("how", ["damage", "lose"])
    def test_damage_is_found(self, vault: Vault, root: Path, tmp_path: Path, how: str) -> None:
        run(vault.put(filled(tmp_path / "from"), AT_MS, LABELS, silent))
        assert run(vault.check(silent, read=False)) == []
        assert run(vault.check(silent, read=True)) == []
        getattr(self, how)(root)
        found = run(vault.check(silent, read=True))
        assert found and all(line.isprintable() and len(line) <= 300 for line in found), found
        if how == "lose":
            assert run(vault.check(silent, read=False)), "what is missing is found without reading all"

    def test_where_there_is_no_vault(self, root: Path, tmp_path: Path) -> None:
        vault = self.make(root)
        for work in (vault.list(), vault.put(filled(tmp_path / "from"), AT_MS, LABELS, silent)):
            with pytest.raises(VaultError) as refused:
                run(work)
            assert refused.value.trouble is Trouble.NO_VAULT, refused.value

    def test_unreachable(self, root: Path, tmp_path: Path) -> None:
        vault = self.unreachable(root)
        folder = filled(tmp_path / "from")
        for work in (vault.prepare(), vault.list(), vault.put(folder, AT_MS, LABELS, silent)):
            with pytest.raises(VaultError) as refused:
                run(work)
            assert refused.value.trouble is Trouble.UNREACHABLE, refused.value

    def test_a_put_that_was_cancelled_is_not_listed_and_the_next_is(self, vault: Vault, tmp_path: Path) -> None:
        folder = filled(tmp_path / "from", self.big_bytes)

        async def cancelled() -> None:
            begun = asyncio.Event()
            loop = asyncio.get_running_loop()

            def tell(one: Progress) -> None:
                if one.done_bytes:
                    loop.call_soon_threadsafe(begun.set)

            work = asyncio.create_task(vault.put(folder, AT_MS, LABELS, tell))
            await asyncio.wait_for(begun.wait(), 30)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work

        run(cancelled())
        assert run(vault.list()) == []
        self.then_all_is_well(vault, folder, tmp_path)

    def test_a_put_that_was_killed_is_not_listed_and_the_next_is(
        self, vault: Vault, root: Path, tmp_path: Path
    ) -> None:
        folder = filled(tmp_path / "from", self.big_bytes)
        self.kill_a_put(root, folder)
        assert run(vault.list()) == []
        self.then_all_is_well(vault, folder, tmp_path)

    def kill_a_put(self, root: Path, folder: Path) -> None:
        code = "def tell(one):\n    one.done_bytes and print('begun', flush=True)\n" + self.killed_put(root, folder)
        command = [sys.executable, "-c", code]
        with orphans_reaped(), subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdout is not None and process.stdout.readline() == b"begun\n"
            process.kill()
        assert process.returncode == -signal.SIGKILL

    def then_all_is_well(self, vault: Vault, folder: Path, tmp_path: Path) -> None:
        id_ = run(vault.put(folder, AT_MS, LABELS, silent))
        assert [one.id for one in run(vault.list())] == [id_]
        assert run(vault.check(silent, read=False)) == []
        (tmp_path / "after").mkdir()
        run(vault.fetch(id_, tmp_path / "after", silent))
        assert tree(tmp_path / "after") == tree(folder)

    @pytest.mark.lab
    def test_a_full_disk_loses_nothing_that_was_there(self, root: Path, tmp_path: Path) -> None:
        with self.on_small_disk(root, 24 << 20):
            vault = self.make(root)
            run(vault.prepare())
            first = run(vault.put(filled(tmp_path / "a", 1_000_000), AT_MS, LABELS, silent))
            with pytest.raises(VaultError) as refused:
                run(vault.put(filled(tmp_path / "b", 50_000_000, seed=2), AT_MS + 1000, LABELS, silent))
            assert refused.value.trouble in self.full, refused.value
            assert [one.id for one in run(vault.list())] == [first]
            (tmp_path / "into").mkdir()
            run(vault.fetch(first, tmp_path / "into", silent))
            assert tree(tmp_path / "into") == tree(tmp_path / "a")


@contextmanager
def orphans_reaped() -> Iterator[None]:
    """What is orphaned meanwhile has ended and is gone behind this, also where process 1 takes its time to reap."""

    def children() -> set[int]:
        return {int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}

    def adopting(whether: int) -> None:
        assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, whether, 0, 0, 0) == 0

    before = children()
    adopting(1)
    try:
        yield
        while orphans := children() - before:
            for pid in orphans:
                os.waitpid(pid, 0)
    finally:
        adopting(0)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[None]:
    """A file system of a few bytes at a folder; needs root."""
    assert os.geteuid() == 0, "a small disk is mounted, which needs root: sudo make test"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "binome", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
