"""What every method of copying is held to, whatever it copies.

A method's own test says what a good source is, how it is changed, and how a copy is damaged, and inherits the rest.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from binome.core.copies import Progress
from binome.core.sources import Source
from binome.drivers.files import files_of
from binome.ports_of_copies import Copied, Copier, CopyError, Unsaved
from tests.drivers.vault_suite import small_disk


def silent(_: Progress) -> None:
    """Nobody listens."""


def no_secret(place: str) -> str:
    raise FileNotFoundError(2, "No such file or directory", place)


def children() -> set[str]:
    """The processes that this one has started, with their own."""
    words = ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return {line.strip() for line in found.splitlines() if " ps " not in f" {line} "}


class CopierSuite:
    """The suite; a class `TestX(CopierSuite)` fills in what is of its method."""

    def make(self) -> Copier:
        """The method."""
        raise NotImplementedError

    def source(self) -> Source:
        """Something to copy."""
        raise NotImplementedError

    def absent(self) -> Source:
        """Something that is not there."""
        raise NotImplementedError

    def change(self) -> None:
        """Changes what is to be copied, so that its fingerprint is another."""
        raise NotImplementedError

    def slowly(self) -> Source:
        """Something that takes so long to copy that it can be interrupted, of more than 8 MiB."""
        raise NotImplementedError

    def damages(self) -> Mapping[str, Callable[[Path], None]]:
        """Ways to damage a copy, each to be found by `verify`."""
        raise NotImplementedError

    def copied(self, into: Path, source: Source | None = None) -> Copied:
        into.mkdir()
        return asyncio.run(self.make().copy(source or self.source(), into, silent))

    def verified(self, folder: Path, fingerprint: Mapping[str, Any]) -> list[str]:
        return list(asyncio.run(self.make().verify(folder, fingerprint)))

    def test_a_copy_is_of_files_and_folders_and_is_good(self, tmp_path: Path) -> None:
        done = self.copied(tmp_path / "copy")
        files = files_of(tmp_path / "copy")
        assert files and None not in files.values(), "a vault keeps files and folders alone"
        assert done.versions and all(value and value.isprintable() for value in done.versions.values()), done.versions
        assert json.loads(json.dumps(done.fingerprint)) == done.fingerprint, "it comes back from JSON as it was"
        assert self.verified(tmp_path / "copy", done.fingerprint) == []

    def test_the_same_has_the_same_fingerprint_and_a_change_another(self, tmp_path: Path) -> None:
        first, second = self.copied(tmp_path / "1"), self.copied(tmp_path / "2")
        assert self.comparable(first) == self.comparable(second)
        self.change()
        assert self.comparable(self.copied(tmp_path / "3")) != self.comparable(first)

    def comparable(self, done: Copied) -> object:
        """Of a fingerprint what must be equal where nothing has changed."""
        return done.fingerprint

    def test_what_is_not_there_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(CopyError) as refused:
            self.copied(tmp_path / "copy", self.absent())
        assert refused.value.why in (Unsaved.NOT_THERE, Unsaved.UNREACHABLE), refused.value
        assert str(refused.value).isprintable()

    def test_every_damage_is_found(self, tmp_path: Path) -> None:
        for name, damage in self.damages().items():
            done = self.copied(tmp_path / name)
            damage(tmp_path / name)
            found = self.verified(tmp_path / name, done.fingerprint)
            assert found and all(line.isprintable() for line in found), (name, found)

    def test_without_its_tools_that_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("binome.drivers.backup.shared.postgres.DEBIANS", tmp_path)
        with pytest.raises(CopyError) as refused:
            self.copied(tmp_path / "copy")
        assert refused.value.why is Unsaved.NO_TOOL, refused.value

    def test_cancelled_and_nothing_lives_on(self, tmp_path: Path) -> None:
        before = children()
        source = self.slowly()

        async def cancelled() -> None:
            (tmp_path / "copy").mkdir()
            work = asyncio.create_task(self.make().copy(source, tmp_path / "copy", silent))
            async with asyncio.timeout(30):
                while not self.begun(tmp_path / "copy"):
                    assert not work.done(), work
                    await asyncio.sleep(0.005)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work

        asyncio.run(cancelled())
        assert children() <= before

    def begun(self, folder: Path) -> bool:
        """Whether a copy that is being made has come far enough to be interrupted."""
        return any(one and one.size_bytes for one in files_of(folder).values())

    @pytest.mark.lab
    def test_no_room_is_said(self, tmp_path: Path) -> None:
        source = self.slowly()
        (tmp_path / "disk").mkdir()
        with small_disk(tmp_path / "disk", 4 << 20), pytest.raises(CopyError) as refused:
            self.copied(tmp_path / "disk" / "copy", source)
        assert refused.value.why is Unsaved.FULL, refused.value
