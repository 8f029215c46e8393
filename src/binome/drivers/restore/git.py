"""Restores what the method `git` saved: each bundle becomes a bare repository that has every reference.

    NAME.git    the repository; clone from it, or push from it to where the old one was

A bundle is read by git, which checks every object that comes out of it; hooks, settings and templates of nobody are
used, so nothing of a bundle is run. A repository that had no reference when it was saved is not restored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from binome.core.copies import Progress
from binome.drivers.backup.git import ALONE, QUIET
from binome.drivers.restore.shared.commands import command, naming
from binome.drivers.sizes import polled, size_of
from binome.ports_of_copies import Compared, Needs, Place, RestoreError, Tell, Unrestored

_BUNDLE = ".bundle"
_NEW = ("-c", "init.defaultBranch=main", "-c", "gc.auto=0")
_HOSTILE = ("hasDotgit", "hasDot", "hasDotdot", "fullPathname")
"""What git only warns of, and what would be somebody's settings or hooks once it is checked out."""
_CHECKING = tuple(word for name in _HOSTILE for word in ("-c", f"fsck.{name}=error"))
_NAME = re.compile(r"[^/\0.-][^/\0]*")


class RestoreGit:
    """The method; it keeps nothing between two restores."""

    needs = Needs.FOLDER

    async def verify(self, copy: Path, fingerprint: Mapping[str, Any], place: Place) -> Sequence[str]:
        """See `ports_of_copies.Restorer`. The references of each bundle are those that were saved."""
        wrong: list[str] = []
        expected = {name: heads for name, heads in fingerprint["repositories"].items() if heads}
        with naming():
            there = {one.name.removesuffix(_BUNDLE) for one in place.seen(copy).iterdir()}
        wrong += [f"{name}{_BUNDLE} was not saved" for name in sorted(there - expected.keys())]
        for name, heads in expected.items():
            if not _NAME.fullmatch(name):
                raise RestoreError(Unrestored.UNSAFE, f"a repository of the name {name}")
            if name not in there:
                wrong.append(f"{name}{_BUNDLE} is missing")
                continue
            try:
                _, lines = await command(
                    place, ["git", *QUIET, "bundle", "list-heads", str(copy / f"{name}{_BUNDLE}")], more=ALONE
                )
            except RestoreError as error:
                if error.why is not Unrestored.BROKEN:
                    raise
                wrong.append(f"{name}: {error}")
                continue
            pairs = (line.split(" ", 1) for line in lines if " " in line)
            wrong += _differing(name, heads, {name: one for one, name in pairs if name.startswith("refs/")})
        return wrong

    async def restore(self, copy: Path, place: Place, tell: Tell) -> Place:
        """See `ports_of_copies.Restorer`."""
        with naming():
            if any(place.seen(place.folder).iterdir()):
                raise RestoreError(Unrestored.OCCUPIED, str(place.folder))
            bundles = sorted(place.seen(copy).iterdir())
        total = sum(one.stat().st_size for one in bundles)
        for one in bundles:
            name = one.name.removesuffix(_BUNDLE)
            if one.name == name or not _NAME.fullmatch(name):
                raise RestoreError(Unrestored.UNSAFE, f"{one.name} is no bundle")
            into = str(place.folder / f"{name}.git")
            async with polled(place.seen(place.folder), "restored", total, tell):
                await _git(place, "clone", "--quiet", "--mirror", "--template=", str(copy / one.name), into)
            await _git(place, "-C", into, "remote", "remove", "origin")
            await _checked(place, into)
        return place

    async def compare(
        self, place: Place, fingerprint: Mapping[str, Any], versions: Mapping[str, str], tell: Tell
    ) -> Compared:
        """See `ports_of_copies.Restorer`. Every object is read; every reference is the one that was saved."""
        wrong: list[str] = []
        counts = {"repositories": 0, "references": 0}
        done, total = 0, size_of(place.seen(place.folder))
        for name, heads in fingerprint["repositories"].items():
            if not heads:
                continue
            into = place.folder / f"{name}.git"
            if not place.seen(into).is_dir():
                wrong.append(f"{name} is missing")
                continue
            try:
                await _checked(place, str(into))
                lines = await _git(place, "-C", str(into), "for-each-ref", "--format=%(refname) %(objectname)")
            except RestoreError as error:
                if error.why is not Unrestored.BROKEN:
                    raise
                wrong.append(f"{name}: {error}")
                continue
            wrong += _differing(name, heads, dict(line.rsplit(" ", 1) for line in lines))
            counts["repositories"] += 1
            counts["references"] += len(heads)
            done += size_of(place.seen(into))
            tell(Progress("compared", done, total))
        return Compared(counts, tuple(wrong))

    def amounts(self, fingerprint: Mapping[str, Any]) -> Mapping[str, int]:
        """See `ports_of_copies.Restorer`."""
        return {"references": sum(len(heads) for heads in fingerprint["repositories"].values())}


async def _checked(place: Place, folder: str) -> None:
    """Reads every object: git does not check those of a bundle while it clones (2.39)."""
    await _git(place, *_CHECKING, "-C", folder, "fsck", "--full", "--no-dangling", "--no-progress")


async def _git(place: Place, *words: str) -> list[str]:
    _, lines = await command(place, ["git", *QUIET, *_NEW, *words], more=ALONE)
    return lines


def _differing(name: str, expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The references that are not those that were saved."""
    wrong = []
    for reference in sorted(expected.keys() | found.keys()):
        if expected.get(reference) != found.get(reference):
            state = "is not there" if reference not in found else "is another than what was saved"
            wrong.append(f"{name}: {reference} {state}")
    return wrong
