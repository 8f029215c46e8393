"""Method files: folders and files with all that belongs to them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from binome.core.sources import Source
from binome.drivers.backup.files import ARCHIVE, OPTIONS, Files
from binome.ports_of_copies import Copier
from tests.drivers.copier_suite import CopierSuite, no_secret


class TestFiles(CopierSuite):
    @pytest.fixture(autouse=True)
    def _tree(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "uploads"
        (self.folder / "sub").mkdir(parents=True)
        (self.folder / "sub" / "a").write_text("hello")
        (self.folder / "sub" / "b").hardlink_to(self.folder / "sub" / "a")
        (self.folder / "link").symlink_to("sub/a")
        (self.folder / "lost").symlink_to("/nowhere")
        (self.folder / "né\udcff").write_text("x", encoding="utf-8")
        os.mkfifo(self.folder / "pipe")
        (self.folder / "private").write_text("x")
        (self.folder / "private").chmod(0o4600)
        with (self.folder / "sparse").open("wb") as file:
            file.seek(1 << 30)
            file.write(b"end")

    def make(self) -> Copier:
        return Files(no_secret)

    def source(self) -> Source:
        return Source("uploads", ("uploads",), paths=(str(self.folder),))

    def absent(self) -> Source:
        return Source("uploads", ("uploads",), paths=(str(self.folder / "none"),))

    def change(self) -> None:
        (self.folder / "private").chmod(0o600)

    def slowly(self) -> Source:
        (self.folder / "big").write_bytes(random.Random(1).randbytes(200 << 20))
        return self.source()

    def damages(self) -> Mapping[str, Callable[[Path], None]]:
        def flipped(folder: Path) -> None:
            raw = (folder / ARCHIVE).read_bytes()
            (folder / ARCHIVE).write_bytes(raw.replace(b"hello", b"hallo"))

        def another(folder: Path) -> None:
            words = ["tar", *OPTIONS, "--exclude=sub", f"--file={folder / ARCHIVE}", str(self.folder).strip("/")]
            subprocess.run(words, check=True)

        return {
            "missing": lambda folder: (folder / ARCHIVE).unlink(),
            "truncated": lambda folder: os.truncate(folder / ARCHIVE, 5000),
            "flipped": flipped,
            "without-a-folder": another,
        }

    def test_all_that_belongs_to_a_file_comes_back(self, tmp_path: Path) -> None:
        self.copied(tmp_path / "copy")
        assert (tmp_path / "copy" / ARCHIVE).stat().st_size < 1 << 20, "holes are not stored"
        (tmp_path / "back").mkdir()
        command = ["tar", "--extract", "--acls", "--xattrs", f"--file={tmp_path / 'copy' / ARCHIVE}"]
        subprocess.run([*command, f"--directory={tmp_path / 'back'}"], check=True)
        back = tmp_path / "back" / str(self.folder).strip("/")
        assert (back / "sub" / "a").stat().st_ino == (back / "sub" / "b").stat().st_ino
        assert (back / "lost").readlink() == Path("/nowhere")
        assert (back / "sparse").stat().st_size == (1 << 30) + 3 and (back / "sparse").stat().st_blocks < 1000
        assert (back / "private").stat().st_mode == (self.folder / "private").stat().st_mode
        assert (back / "private").stat().st_mtime_ns == (self.folder / "private").stat().st_mtime_ns
        assert (back / "pipe").is_fifo() and (back / "né\udcff").read_text() == "x"

    @pytest.mark.lab
    @pytest.mark.skipif(shutil.which("setfacl") is None, reason="setfacl is not installed")
    def test_acls_and_owners_come_back(self, tmp_path: Path) -> None:
        one = self.folder / "sub" / "a"
        subprocess.run(["setfacl", "-m", "u:65534:rw", one], check=True)
        os.chown(self.folder / "private", 12345, 23456)
        os.setxattr(one, "user.note", b"kept")
        self.copied(tmp_path / "copy")
        (tmp_path / "back").mkdir()
        command = ["tar", "--extract", "--acls", "--xattrs", "--xattrs-include=*", "--same-owner", "--numeric-owner"]
        archive = f"--file={tmp_path / 'copy' / ARCHIVE}"
        subprocess.run([*command, archive, f"--directory={tmp_path / 'back'}"], check=True)
        back = tmp_path / "back" / str(self.folder).strip("/")
        listed = subprocess.run(
            ["getfacl", "-n", back / "sub" / "a"], capture_output=True, text=True, check=True
        ).stdout
        assert "user:65534:rw-" in listed
        assert os.getxattr(back / "sub" / "a", "user.note") == b"kept"
        assert ((back / "private").stat().st_uid, (back / "private").stat().st_gid) == (12345, 23456)

    def test_several_paths_and_a_link_as_itself(self, tmp_path: Path) -> None:
        both = Source("x", ("x",), paths=(str(self.folder / "sub"), str(self.folder / "link")))
        done = self.copied(tmp_path / "copy", both)
        assert (done.fingerprint["files"], done.fingerprint["links"]) == (1, 1)
