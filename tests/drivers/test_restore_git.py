"""Method git, the way back: repositories come out of their bundles, and nothing of them is run."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from binome.core.sources import Source
from binome.drivers.backup.git import Git
from binome.drivers.restore.git import RestoreGit
from binome.ports_of_copies import Copied, Needs, Place, RestoreError, Restorer, Unrestored
from tests.drivers.copier_suite import no_secret, silent
from tests.drivers.restorer_suite import RestorerSuite
from tests.drivers.test_copy_git import git


class TestGit(RestorerSuite):
    needs = Needs.FOLDER

    @pytest.fixture(autouse=True)
    def _repository(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "code"
        self.folder.mkdir()
        git(self.folder, "init", "--quiet")
        for text in ("one", "two"):
            (self.folder / "file").write_text(text)
            git(self.folder, "add", "file")
            git(self.folder, "commit", "--quiet", "-m", text)
            git(self.folder, "tag", "-a", text, "-m", text)
        git(self.folder, "branch", "side", "one")
        git(self.folder, "notes", "add", "-m", "a note", "main")

    def make(self) -> Restorer:
        return RestoreGit()

    def copied(self, into: Path) -> Copied:
        into.mkdir()
        return asyncio.run(Git(no_secret).copy(Source("code", ("code",), paths=(str(self.folder),)), into, silent))

    @contextmanager
    def place(self, folder: Path) -> Iterator[Place]:
        folder.mkdir()
        yield Place(folder)

    def change(self, place: Place) -> None:
        git(place.folder / "code.git", "branch", "-D", "side")

    def broken(self) -> Mapping[str, Callable[[Path], None]]:
        def flipped(folder: Path) -> None:
            raw = bytearray((folder / "code.bundle").read_bytes())
            raw[-40] ^= 1
            (folder / "code.bundle").write_bytes(raw)

        def without_a_branch(folder: Path) -> None:
            git(self.folder, "bundle", "create", "--quiet", str(folder / "code.bundle"), "main", "one")

        return {
            "missing": lambda folder: (folder / "code.bundle").unlink(),
            "truncated": lambda folder: os.truncate(folder / "code.bundle", 300),
            "flipped": flipped,
            "without-a-branch": without_a_branch,
            "one-more": lambda folder: (folder / "more.bundle").write_bytes((folder / "code.bundle").read_bytes()),
        }

    def test_every_reference_comes_back_and_it_can_be_cloned(self, tmp_path: Path) -> None:
        self.copied(tmp_path / "copy")
        with self.place(tmp_path / "place") as place:
            asyncio.run(self.make().restore(tmp_path / "copy", place, silent))
        back = place.folder / "code.git"
        assert git(back, "for-each-ref") == git(self.folder, "for-each-ref")
        assert git(back, "remote") == "" and not (back / "hooks").exists()
        subprocess.run(["git", "clone", "--quiet", back, tmp_path / "clone"], check=True)
        assert (tmp_path / "clone" / "file").read_text() == "two"

    def test_a_name_that_leads_away_is_refused(self, tmp_path: Path) -> None:
        copied = self.copied(tmp_path / "copy")
        heads = copied.fingerprint["repositories"]
        assert isinstance(heads, dict)
        for name in ("../code", "/etc/code", "-code", ".code", ""):
            with pytest.raises(RestoreError) as refused:
                said = {"repositories": {name: heads["code"]}}
                asyncio.run(self.make().verify(tmp_path / "copy", said, Place(tmp_path)))
            assert refused.value.why is Unrestored.UNSAFE, name
        (tmp_path / "copy" / "-x.bundle").touch()
        with self.place(tmp_path / "place") as place, pytest.raises(RestoreError) as refused:
            asyncio.run(self.make().restore(tmp_path / "copy", place, silent))
        assert refused.value.why is Unrestored.UNSAFE and list(place.folder.iterdir()) == []

    def test_an_object_that_git_would_not_write_is_refused(self, tmp_path: Path) -> None:
        """A tree with an entry `.git`: checked out, it would be the settings and hooks of whoever clones it."""
        blob = git(self.folder, "hash-object", "-w", "file").strip()
        tree = subprocess.run(
            ["git", "-C", self.folder, "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
            input=b"100644 .git\0" + bytes.fromhex(blob),
            capture_output=True,
            check=True,
        ).stdout
        commit = git(self.folder, "commit-tree", tree.decode().strip(), "-m", "hostile").strip()
        git(self.folder, "update-ref", "refs/heads/hostile", commit)
        (tmp_path / "copy").mkdir()
        git(self.folder, "bundle", "create", "--quiet", str(tmp_path / "copy" / "code.bundle"), "--all")
        with self.place(tmp_path / "place") as place, pytest.raises(RestoreError) as refused:
            asyncio.run(self.make().restore(tmp_path / "copy", place, silent))
        assert refused.value.why is Unrestored.BROKEN and "hasDotgit" in str(refused.value), refused.value
