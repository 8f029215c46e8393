"""Method git: repositories as bundles."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from binome.core.sources import Source
from binome.drivers.backup.git import Git
from binome.ports_of_copies import Copier, CopyError, Unsaved
from tests.drivers.copier_suite import CopierSuite, no_secret

WHO = ("-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main")


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *WHO, "-C", str(folder), *words], check=True, capture_output=True, text=True).stdout


class TestGit(CopierSuite):
    @pytest.fixture(autouse=True)
    def _repository(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "code"
        self.folder.mkdir()
        git(self.folder, "init", "--quiet")
        self.commit("one")
        git(self.folder, "tag", "-a", "v1", "-m", "the first")
        git(self.folder, "branch", "side")
        self.commit("two")

    def commit(self, text: str) -> None:
        (self.folder / "file").write_text(text)
        git(self.folder, "add", "file")
        git(self.folder, "commit", "--quiet", "-m", text)

    def make(self) -> Copier:
        return Git(no_secret)

    def source(self) -> Source:
        return Source("code", ("code",), paths=(str(self.folder),))

    def absent(self) -> Source:
        return Source("code", ("code",), paths=(str(self.folder / "none"),))

    def change(self) -> None:
        git(self.folder, "branch", "-D", "side")

    def slowly(self) -> Source:
        (self.folder / "big").write_bytes(random.Random(1).randbytes(60 << 20))
        git(self.folder, "add", "big")
        git(self.folder, "commit", "--quiet", "-m", "big")
        return self.source()

    def begun(self, folder: Path) -> bool:
        return any(folder.iterdir())  # a bundle is written aside, and named at its end

    def damages(self) -> Mapping[str, Callable[[Path], None]]:
        def bundle(folder: Path) -> Path:
            return folder / "code.bundle"

        def without_a_branch(folder: Path) -> None:
            git(self.folder, "bundle", "create", "--quiet", str(bundle(folder)), "main", "v1")

        def of_another_commit(folder: Path) -> None:
            git(self.folder, "bundle", "create", "--quiet", str(bundle(folder)), "--all")
            self.commit("three")
            git(self.folder, "bundle", "create", "--quiet", str(bundle(folder)), "--all")

        def flipped(folder: Path) -> None:
            raw = bytearray(bundle(folder).read_bytes())
            raw[-40] ^= 1
            bundle(folder).write_bytes(raw)

        return {
            "missing": lambda folder: bundle(folder).unlink(),
            "truncated": lambda folder: os.truncate(bundle(folder), bundle(folder).stat().st_size - 30),
            "flipped": flipped,
            "without-a-branch": without_a_branch,
            "of-another-commit": of_another_commit,
        }

    def test_every_reference_is_in_the_fingerprint(self, tmp_path: Path) -> None:
        git(self.folder, "notes", "add", "-m", "a note", "main")
        found = self.copied(tmp_path / "copy").fingerprint["repositories"]
        assert isinstance(found, dict)
        assert set(found["code"]) == {"refs/heads/main", "refs/heads/side", "refs/tags/v1", "refs/notes/commits"}
        assert found["code"]["refs/heads/main"] == git(self.folder, "rev-parse", "main").strip()

    def test_a_broken_repository_is_not_copied(self, tmp_path: Path) -> None:
        (lost,) = [git(self.folder, "rev-parse", "side:file").strip()]
        (self.folder / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
        with pytest.raises(CopyError) as refused:
            self.copied(tmp_path / "copy")
        assert refused.value.why is Unsaved.FAILED and "git" in str(refused.value)

    def test_an_empty_one_and_two_of_a_name(self, tmp_path: Path) -> None:
        for name in ("a/code", "b/code.git"):
            (tmp_path / name).mkdir(parents=True)
            git(tmp_path / name, "init", "--quiet", *(["--bare"] if name.endswith("git") else []))
        paths = (str(self.folder), *(str(tmp_path / name) for name in ("a/code", "b/code.git")))
        done = self.copied(tmp_path / "copy", Source("code", ("code",), paths=paths))
        found = done.fingerprint["repositories"]
        assert isinstance(found, dict)
        assert {name: len(references) for name, references in found.items()} == {"code": 3, "code~2": 0, "code~3": 0}
        assert self.verified(tmp_path / "copy", done.fingerprint) == []

    def test_nothing_of_a_repository_is_run(self, tmp_path: Path) -> None:
        ran = tmp_path / "ran"
        git(self.folder, "config", "core.fsmonitor", f"touch {ran}")
        hook = self.folder / ".git" / "hooks" / "reference-transaction"
        hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
        hook.chmod(0o755)
        self.copied(tmp_path / "copy")
        assert not ran.exists()
