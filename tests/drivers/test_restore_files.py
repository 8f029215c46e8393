"""Method files, the way back: all that belongs to a file comes back, and what is hostile comes nowhere."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from binome.core.sources import Source
from binome.drivers.backup.files import ARCHIVE, Files
from binome.drivers.restore.files import RestoreFiles
from binome.drivers.restore.shared.acl import acl, entries
from binome.drivers.restore.shared.allowed import Allowance, Quota, look
from binome.drivers.restore.shared.archive import Unsafe, UnsafeError, members
from binome.drivers.restore.shared.unpack import unpack
from binome.ports_of_copies import Copied, Needs, Place, RestoreError, Restorer, Unrestored
from tests.drivers.copier_suite import no_secret, silent
from tests.drivers.hostile import BLOCK, member, padded, record, sparse, written
from tests.drivers.restorer_suite import RestorerSuite
from tests.drivers.vault_suite import small_disk

BOMBS = {"bomb-of-holes", "bomb-of-bombs", "too-many"}
AMPLE = Quota(1 << 40, 1 << 30, 10_000)
ROOT = os.geteuid() == 0


class TestFiles(RestorerSuite):
    needs = Needs.FOLDER

    @pytest.fixture(autouse=True)
    def _tree(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "uploads"
        (self.folder / "sub").mkdir(parents=True)
        (self.folder / "sub" / "a").write_text("hello")
        (self.folder / "sub" / "b").hardlink_to(self.folder / "sub" / "a")
        (self.folder / ("long" * 50)).write_text("a name that needs a pax header")
        (self.folder / "link").symlink_to("sub/a")
        (self.folder / "lost").symlink_to("/nowhere")
        os.link(self.folder / "lost", self.folder / "lost-too", follow_symlinks=False)
        (self.folder / "né\udcff").write_text("x", encoding="utf-8")
        os.mkfifo(self.folder / "pipe")
        (self.folder / "private").write_text("x")
        (self.folder / "private").chmod(0o4600)
        with (self.folder / "sparse").open("wb") as file:
            file.seek(1 << 30)
            file.write(b"end")
        (self.folder / "hole").touch()
        os.truncate(self.folder / "hole", 1 << 20)
        (self.folder / "sub").chmod(0o555)
        os.utime(self.folder / "sub", ns=(1, 1_600_000_000_123_456_789))

    def make(self) -> Restorer:
        return RestoreFiles()

    def copied(self, into: Path) -> Copied:
        into.mkdir()
        source = Source("uploads", ("uploads",), paths=(str(self.folder),))
        return asyncio.run(Files(no_secret).copy(source, into, silent))

    @contextmanager
    def place(self, folder: Path) -> Iterator[Place]:
        folder.mkdir()
        yield Place(folder)

    def change(self, place: Place) -> None:
        (place.folder / str(self.folder).strip("/") / "private").write_text("longer")

    def broken(self) -> Mapping[str, Callable[[Path], None]]:
        def flipped(folder: Path) -> None:
            raw = (folder / ARCHIVE).read_bytes()
            (folder / ARCHIVE).write_bytes(raw.replace(b"hello", b"hallo"))

        return {"flipped": flipped}

    def test_an_archive_that_is_cut_is_unsafe(self, tmp_path: Path) -> None:
        copied = self.copied(tmp_path / "copy")
        for size in (5000, 4096, 511, 0):
            os.truncate(tmp_path / "copy" / ARCHIVE, size)
            with pytest.raises(RestoreError) as refused:
                asyncio.run(self.make().verify(tmp_path / "copy", copied.fingerprint, Place(tmp_path)))
            assert refused.value.why is Unrestored.UNSAFE, (size, refused.value)

    def test_all_that_belongs_to_a_file_comes_back(self, tmp_path: Path) -> None:
        self.copied(tmp_path / "copy")
        with self.place(tmp_path / "place") as place:
            asyncio.run(self.make().restore(tmp_path / "copy", place, silent))
            back = place.folder / str(self.folder).strip("/")
        assert (back / "sub" / "a").stat().st_ino == (back / "sub" / "b").stat().st_ino
        assert (back / "lost").readlink() == (back / "lost-too").readlink() == Path("/nowhere")
        assert (back / "sparse").stat().st_size == (1 << 30) + 3 and (back / "sparse").stat().st_blocks < 1000
        assert (back / "hole").stat().st_size == 1 << 20 and (back / "hole").stat().st_blocks == 0
        assert (back / "pipe").is_fifo() and (back / "né\udcff").read_text() == "x"
        assert (back / ("long" * 50)).is_file()
        for name in ("private", "sub", "sub/a", "."):
            was, is_ = (self.folder / name).stat(), (back / name).stat()
            assert is_.st_mtime_ns == was.st_mtime_ns, name
            assert is_.st_mode == (was.st_mode if ROOT else was.st_mode & ~0o6000), name

    @pytest.mark.skipif(not ROOT or shutil.which("setfacl") is None, reason="it needs root and setfacl")
    def test_acls_owners_and_attributes_come_back(self, tmp_path: Path) -> None:
        one, below = self.folder / "sub" / "a", self.folder / "sub"
        subprocess.run(["setfacl", "-m", "u:65534:rw,g:12:r", one], check=True)
        subprocess.run(["setfacl", "-d", "-m", "u:1234:rwx", below], check=True)
        os.chown(self.folder / "private", 12345, 23456)
        os.chown(self.folder / "link", 12345, 23456, follow_symlinks=False)
        os.setxattr(one, "user.no=te", b"k\0pt\xff")
        self.copied(tmp_path / "copy")
        with self.place(tmp_path / "place") as place:
            asyncio.run(self.make().restore(tmp_path / "copy", place, silent))
            back = place.folder / str(self.folder).strip("/")

        def listed(path: Path) -> str:
            words = ["getfacl", "-n", "--omit-header", "-p", str(path)]
            return subprocess.run(words, capture_output=True, text=True, check=True).stdout

        for name in ("sub", "sub/a"):
            assert listed(back / name) == listed(self.folder / name)
        assert "default:user:1234:rwx" in listed(back / "sub")
        assert os.getxattr(back / "sub" / "a", "user.no=te") == b"k\0pt\xff"
        for name in ("private", "link"):
            found = (back / name).lstat()
            assert (found.st_uid, found.st_gid) == (12345, 23456), name

    def test_where_a_person_restores_only_what_he_asks_for(self, tmp_path: Path) -> None:
        copied = self.copied(tmp_path / "copy")
        everything, said = frozenset(Allowance), []
        for one in Allowance:
            strict = RestoreFiles(everything - {one})
            with pytest.raises(RestoreError) as refused:
                asyncio.run(strict.verify(tmp_path / "copy", copied.fingerprint, Place(tmp_path)))
            assert refused.value.why is Unrestored.UNSAFE
            said.append(str(refused.value))
        expected = ("/lost: it is a link", "/private: it would run", "/pipe: it is a pipe")
        assert all(words in line for words, line in zip(expected, said, strict=True)), said

    def test_more_than_was_saved_is_refused(self, tmp_path: Path) -> None:
        copied = self.copied(tmp_path / "copy")
        said: dict[str, Any] = {**copied.fingerprint, "bytes": 5}
        with pytest.raises(RestoreError, match="more in it than was saved") as refused:
            asyncio.run(self.make().verify(tmp_path / "copy", said, Place(tmp_path)))
        assert refused.value.why is Unrestored.UNSAFE

    @pytest.mark.skipif(not ROOT, reason="it needs root")
    def test_no_room_is_said_before_anything_is_written(self, tmp_path: Path) -> None:
        (self.folder / "big").write_bytes(os.urandom(8 << 20))
        self.copied(tmp_path / "copy")
        (tmp_path / "disk").mkdir()
        with small_disk(tmp_path / "disk", 4 << 20):
            (tmp_path / "disk" / "place").mkdir()
            with pytest.raises(RestoreError, match="than there is room for: bytes"):
                asyncio.run(self.make().restore(tmp_path / "copy", Place(tmp_path / "disk" / "place"), silent))
            assert list((tmp_path / "disk" / "place").iterdir()) == []


FOLDER, LINK, HARD = b"5", b"2", b"1"
HOSTILE: dict[str, tuple[Unsafe, tuple[bytes, ...]]] = {
    "absolute": (Unsafe.ABSOLUTE, (member("/etc/cron.d/x"),)),
    "upwards": (Unsafe.UPWARDS, (member("../x"),)),
    "upwards-within": (Unsafe.UPWARDS, (member("a", FOLDER), member("a/../../x"))),
    "upwards-by-pax": (Unsafe.UPWARDS, (member("a", pax={b"path": b"a/../../x"}),)),
    "absolute-by-pax": (Unsafe.ABSOLUTE, (member("a", pax={b"path": b"/etc/x"}),)),
    "upwards-by-sparse-name": (Unsafe.UPWARDS, (sparse("../x", 10, {0: b"x"}),)),
    "empty-name": (Unsafe.BAD_NAME, (member(""),)),
    "doubled-slash": (Unsafe.BAD_NAME, (member("a//b"),)),
    "dot-within": (Unsafe.BAD_NAME, (member("a/./b"),)),
    "nul": (Unsafe.BAD_NAME, (member("a", pax={b"path": b"a\0/../b"}),)),
    "long-part": (Unsafe.BAD_NAME, (member("a", pax={b"path": b"a" * 256}),)),
    "long-name": (Unsafe.BAD_NAME, (member("a", pax={b"path": b"a/" * 2100 + b"a"}),)),
    "twice": (Unsafe.TWICE, (member("a", content=b"1"), member("a", content=b"2"))),
    "twice-by-dot": (Unsafe.TWICE, (member("a"), member("./a"))),
    "file-and-folder": (Unsafe.TWICE, (member("a"), member("a/", FOLDER))),
    "through-a-link": (Unsafe.THROUGH, (member("d", FOLDER), member("l", LINK, link="d"), member("l/x"))),
    "through-a-link-that-comes-later": (Unsafe.THROUGH, (member("l/x"), member("l", LINK, link="."))),
    "through-a-link-that-leads-out": (Unsafe.THROUGH, (member("l", LINK, link="/etc"), member("l/x"))),
    "through-a-file": (Unsafe.THROUGH, (member("f"), member("f/x"))),
    "folder-over-a-link": (Unsafe.TWICE, (member("l", LINK, link="/etc"), member("l", FOLDER), member("l/x"))),
    "link-absolute": (Unsafe.LEADS_OUT, (member("l", LINK, link="/etc/passwd"),)),
    "link-upwards": (Unsafe.LEADS_OUT, (member("a/l", LINK, link="../../x"),)),
    "link-by-another": (
        Unsafe.LEADS_OUT,
        (member("x/y/up", LINK, link="../.."), member("l", LINK, link="x/y/up/../etc")),
    ),
    "link-by-pax": (Unsafe.LEADS_OUT, (member("l", LINK, link="a", pax={b"linkpath": b"../../etc"}),)),
    "link-to-no-name": (Unsafe.BAD_NAME, (member("l", LINK, link=""),)),
    "hard-link-out": (Unsafe.NO_TARGET, (member("h", HARD, link="/etc/passwd"),)),
    "hard-link-upwards": (Unsafe.NO_TARGET, (member("h", HARD, link="../x"),)),
    "hard-link-to-what-comes-later": (Unsafe.NO_TARGET, (member("h", HARD, link="f"), member("f"))),
    "hard-link-to-a-folder": (Unsafe.NO_TARGET, (member("d", FOLDER), member("h", HARD, link="d"))),
    "hard-link-to-a-link-that-leads-out": (
        Unsafe.LEADS_OUT,
        (member("l", LINK, link="/etc"), member("h", HARD, link="l")),
    ),
    "hard-link-through-a-link": (
        Unsafe.NO_TARGET,
        (member("d/f"), member("l", LINK, link="d"), member("h", HARD, link="l/f")),
    ),
    "device": (Unsafe.DEVICE, (member("sda", b"4"),)),
    "character-device": (Unsafe.DEVICE, (member("null", b"3"),)),
    "pipe": (Unsafe.PIPE, (member("p", b"6"),)),
    "setuid": (Unsafe.PRIVILEGED, (member("su", mode=0o4755),)),
    "setgid": (Unsafe.PRIVILEGED, (member("sg", mode=0o2755),)),
    "setgid-folder": (Unsafe.PRIVILEGED, (member("sg", FOLDER, mode=0o2755),)),
    "capability": (Unsafe.PRIVILEGED, (member("c", pax={b"SCHILY.xattr.security.capability": b"\1"}),)),
    "bomb-of-holes": (Unsafe.TOO_MUCH, (sparse("bomb", 1 << 50, {0: b"x"}),)),
    "bomb-of-bombs": (Unsafe.TOO_MUCH, tuple(sparse(f"b{n}", 1 << 38, {0: b"x"}) for n in range(5))),
    "too-many": (Unsafe.TOO_MANY, tuple(member(f"f{n}") for n in range(AMPLE.entries + 1))),
    "map-astray": (Unsafe.NO_ARCHIVE, (sparse("s", 10, {8: b"12345"}),)),
    "map-backwards": (Unsafe.NO_ARCHIVE, (sparse("s", 100, {50: b"12345", 10: b"12345"}),)),
    "map-overlapping": (Unsafe.NO_ARCHIVE, (sparse("s", 100, {50: b"12345", 52: b"12345"}),)),
    "map-of-a-billion": (
        Unsafe.NO_ARCHIVE,
        (
            member(
                "s",
                content=padded(b"999999999999\n"),
                pax={
                    b"GNU.sparse.major": b"1",
                    b"GNU.sparse.minor": b"0",
                    b"GNU.sparse.name": b"s",
                    b"GNU.sparse.realsize": b"9",
                },
            ),
        ),
    ),
    "old-sparse": (Unsafe.NO_ARCHIVE, (member("s", b"S"),)),
    "gnu-long-name": (Unsafe.NO_ARCHIVE, (member("././@LongLink", b"L", b"../../x\0"), member("a"))),
    "global-header": (Unsafe.NO_ARCHIVE, (member("g", b"g", record(b"path", b"../x")), member("a"))),
    "contiguous-file": (Unsafe.NO_ARCHIVE, (member("a", b"7"),)),
    "old-form": (Unsafe.NO_ARCHIVE, (member("a", b"\0"),)),
    "size-that-ends-behind": (Unsafe.NO_ARCHIVE, (member("a", size=1 << 30),)),
    "folder-with-content": (Unsafe.NO_ARCHIVE, (member("a", FOLDER, b"x"),)),
    "pax-of-a-gigabyte": (Unsafe.NO_ARCHIVE, (member("PaxHeaders/x", b"x", size=1 << 30),)),
    "pax-for-pax": (Unsafe.NO_ARCHIVE, (member("x", b"x", record(b"path", b"a")) * 2, member("a"))),
    "pax-without-member": (Unsafe.NO_ARCHIVE, (member("x", b"x", record(b"path", b"a")),)),
    "pax-of-no-form": (Unsafe.NO_ARCHIVE, (member("x", b"x", b"99 path=a\n"), member("a"))),
    "pax-twice-the-same": (
        Unsafe.NO_ARCHIVE,
        (member("x", b"x", record(b"path", b"a") + record(b"path", b"../b")), member("a")),
    ),
    "pax-of-another-charset": (Unsafe.NO_ARCHIVE, (member("a", pax={b"hdrcharset": b"BINARY"}),)),
    "size-of-no-number": (Unsafe.NO_ARCHIVE, (member("a", pax={b"size": b"-1"}),)),
    "behind-the-end": (Unsafe.NO_ARCHIVE, (member("a"), bytes(2 * BLOCK), member("../x"))),
    "wrong-sum": (Unsafe.NO_ARCHIVE, (b"x" + member("a")[1:],)),
    "compressed": (Unsafe.NO_ARCHIVE, (bytes.fromhex("1f8b08000000000000ff") + os.urandom(600),)),
    "acl-of-no-form": (Unsafe.NO_ARCHIVE, (member("a", pax={b"SCHILY.acl.access": b"user:rwx"}),)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_by_name_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    why, parts = HOSTILE[name]
    (tmp_path / "copy").mkdir()
    (tmp_path / "around" / "place").mkdir(parents=True)
    archive = written(tmp_path / "copy" / ARCHIVE, *parts)
    with archive.open("rb") as raw, pytest.raises(UnsafeError) as refused:
        look(raw, AMPLE)
    assert refused.value.why is why, refused.value
    assert str(refused.value).isprintable()
    if name in BOMBS:
        return  # how much was saved is known to `verify`; a restore knows how much room there is
    free = RestoreFiles(frozenset())
    with pytest.raises(RestoreError) as unsafe:
        asyncio.run(free.restore(tmp_path / "copy", Place(tmp_path / "around" / "place"), silent))
    assert unsafe.value.why is Unrestored.UNSAFE
    assert [str(one.relative_to(tmp_path)) for one in (tmp_path / "around").rglob("*")] == ["around/place"]


def test_upper_and_lower_case_where_they_are_the_same(tmp_path: Path) -> None:
    archive = written(tmp_path / "a.tar", member("Read"), member("rEAD"))
    with archive.open("rb") as raw:
        assert look(raw, AMPLE).entries == 2
        with pytest.raises(UnsafeError, match="upper and lower case are the same there") as refused:
            look(raw, AMPLE, folds=True)
    assert refused.value.why is Unsafe.TWICE


def test_a_million_files_are_refused_while_they_are_counted(tmp_path: Path) -> None:
    with (tmp_path / "a.tar").open("wb") as file:
        for n in range(20_000):
            file.write(member(f"f{n}"))
        file.write(bytes(2 * BLOCK))
    begun_s = time.monotonic()
    with (tmp_path / "a.tar").open("rb") as raw, pytest.raises(UnsafeError) as refused:
        look(raw, Quota(1 << 40, 1 << 40, 100))
    assert refused.value.why is Unsafe.TOO_MANY and refused.value.member == "f100"
    assert time.monotonic() - begun_s < 5


def test_allowed_links_are_made_last_and_nothing_goes_through_them(tmp_path: Path) -> None:
    """Even where links that lead out are asked for, what stands behind them is not touched."""
    (tmp_path / "out").mkdir()
    place = tmp_path / "place"
    place.mkdir()
    archive = written(
        tmp_path / "a.tar",
        member("l", LINK, link=str(tmp_path / "out")),
        member("d/f", content=b"in"),
        member("d/up", LINK, link="../../out"),
    )
    with archive.open("rb") as raw:
        seen = look(raw, AMPLE, frozenset({Allowance.LINKS}))
        unpack(raw, place, seen, silent, threading.Event())
    assert (place / "l").readlink() == tmp_path / "out" and (place / "d" / "f").read_bytes() == b"in"
    assert list((tmp_path / "out").iterdir()) == []


def test_what_somebody_puts_into_the_folder_meanwhile_is_not_gone_through(tmp_path: Path) -> None:
    """The folder is ours alone; should it not be, a link that somebody puts there still leads nowhere."""
    (tmp_path / "out").mkdir()
    place = tmp_path / "place"
    place.mkdir()
    archive = written(tmp_path / "a.tar", member("d/f", content=b"x"), member("g", content=b"y"))
    for name, target in (("d", tmp_path / "out"), ("g", tmp_path / "out" / "g")):
        (place / name).symlink_to(target)
        with archive.open("rb") as raw, pytest.raises(OSError):
            unpack(raw, place, look(raw, AMPLE), silent, threading.Event())
        (place / name).unlink()
        shutil.rmtree(place)
        place.mkdir()
    assert list((tmp_path / "out").iterdir()) == []


def test_an_acl_as_the_kernel_takes_it() -> None:
    text = "user::rw-\nuser:1001:r--\ngroup::r-x\nmask::rwx\nother::---\n"
    assert acl(entries(text)).hex() == (
        "02000000" "0100" "0600" "ffffffff" "0200" "0400" "e9030000"
        "0400" "0500" "ffffffff" "1000" "0700" "ffffffff" "2000" "0000" "ffffffff"
    )  # fmt: skip
    assert acl(entries("user:ann:r--:1001")) == acl(entries("user:1001:r--"))
    assert acl(entries("user:root:r--,group:root:r--")) == acl(entries("user:0:r--,group:0:r--"))
    assert acl(entries("user:nobody-of-that-name:rwx,user:7:r--")) == acl(entries("user:7:r--"))


def test_what_tar_writes_is_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    os.utime(tmp_path / "f", ns=(1, 1_234_567_890_123_456_789))
    command = ["tar", "--create", "--format=posix", f"--directory={tmp_path}", f"--file={tmp_path / 'a.tar'}", "f"]
    subprocess.run(command, check=True)
    with (tmp_path / "a.tar").open("rb") as raw:
        (one,) = members(raw)
        raw.seek(one.at)
        assert (one.name, one.mtime_ns, raw.read(one.size)) == ("f", 1_234_567_890_123_456_789, b"content")
