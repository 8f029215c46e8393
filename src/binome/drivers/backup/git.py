"""Method `git`: repositories, each as a bundle of all its references.

    NAME.bundle    every branch, tag, note and other reference, with all that they lead to

Each repository is checked first (`git fsck`): a copy of a broken one would only be found broken on the day that it is
needed. Its configuration and hooks are not in it; nothing of them is run. The fingerprint has every reference with the
object that it names. References that move while the bundle is written are as the bundle has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from binome.core.copies import Progress
from binome.core.sources import Source
from binome.drivers.backup.shared.tools import run
from binome.drivers.sizes import polled, size_of
from binome.ports_of_copies import Copied, CopyError, Tell, Unsaved

QUIET = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}


class Git:
    """The method; it keeps nothing between two copies."""

    def __init__(self, _: Callable[[str], str]) -> None:
        pass

    async def copy(self, source: Source, into: Path, tell: Tell) -> Copied:
        """See `ports_of_copies.Copier`."""
        names, at_ms = _names(source.paths), time.time_ns() // 1_000_000
        found: dict[str, dict[str, str]] = {}
        total = sum(size_of(Path(path)) for path in source.paths)
        for path, name in names.items():
            if not Path(path).is_dir():
                raise CopyError(Unsaved.NOT_THERE, path)
            tell(Progress("checked", 0, total))
            await _git(path, "fsck", "--full", "--no-dangling", "--no-progress")
            before = await _references(path)
            if not before:
                found[name] = {}
                continue
            bundle = into / f"{name}.bundle"
            async with polled(into, "bundled", total, tell):
                await _git(path, "bundle", "create", "--quiet", str(bundle), "--all")
            found[name] = await _heads(bundle)
            after = await _references(path)
            lost = sorted(name for name in before.keys() & after.keys() if name not in found[bundle.stem])
            if lost:
                raise CopyError(Unsaved.FAILED, f"{path}: the bundle is without {lost[0]}")
        _, (version, *_) = await run(["git", "--version"])
        return Copied(at_ms, {"repositories": found}, {"git": version.removeprefix("git version ")})

    async def verify(self, folder: Path, fingerprint: Mapping[str, Any]) -> Sequence[str]:
        """See `ports_of_copies.Copier`. Each bundle becomes a repository, is checked, and its references compared."""
        wrong: list[str] = []
        for name, expected in fingerprint["repositories"].items():
            if not expected:
                continue
            with TemporaryDirectory(prefix="binome-git-") as scratch:
                try:
                    bundle = str(folder / f"{name}.bundle")
                    await run(["git", *QUIET, "clone", "--quiet", "--mirror", bundle, scratch], more=ALONE)
                    await _git(scratch, "fsck", "--full", "--no-dangling", "--no-progress")
                    found = await _references(scratch)
                except CopyError as error:
                    if error.why is Unsaved.NO_TOOL:
                        raise
                    wrong.append(f"{name}: {error}")
                    continue
            for reference in sorted(expected.keys() | found.keys()):
                if expected.get(reference) != found.get(reference):
                    state = "is not there" if reference not in found else "is another than what was saved"
                    wrong.append(f"{name}: {reference} {state}")
        return wrong


def _names(paths: Sequence[str]) -> dict[str, str]:
    """A file's name for each path: its last part, with a number where two have the same."""
    names: dict[str, str] = {}
    for path in paths:
        base = Path(path).name.removesuffix(".git") or Path(path).parent.name or "root"
        taken = [name for name in names.values() if name == base or name.startswith(f"{base}~")]
        names[path] = f"{base}~{len(taken) + 1}" if taken else base
    return names


async def _git(path: str, *words: str) -> list[str]:
    return (await run(["git", *QUIET, "-C", path, *words], more=ALONE))[1]


async def _references(path: str) -> dict[str, str]:
    """Every reference of a repository, with the object that it names."""
    lines = await _git(path, "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.rsplit(" ", 1) for line in lines)


async def _heads(bundle: Path) -> dict[str, str]:
    """Every reference of a bundle; without HEAD, which is a name for one of them, or of a moment."""
    _, lines = await run(["git", "bundle", "list-heads", str(bundle)], more=ALONE)
    pairs = (line.split(" ", 1) for line in lines)
    return {name: object_ for object_, name in pairs if name.startswith("refs/")}
