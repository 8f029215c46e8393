"""Vaults of kind `restic`: a repository on this server, behind SFTP, or behind a REST server.

Restic does the work: it encrypts, stores equal content once, and names a snapshot only when all of it is there, so
that a copy that was interrupted is never listed. What is added here:

- *The key* goes through a pipe, and so does the address, because it may hold a REST server's password: neither is on
  a command line, in an environment or in a file.
- *Trouble has a name.* Restic tells it in sentences, and tries many things again for 15 minutes. What will not pass
  by itself (no room, a refusal) ends at once, what may pass ends after `patience_s` without progress.
- *Locks of the dead.* Restic that was killed leaves its lock behind. `restic unlock` takes away those whose process is
  gone; it is asked where somebody seems to be at work, who is then waited for as long as `patience_s`.
- *Crashes have a cause.* Restic 0.14 may crash where a write fails (a nil pointer in its archiver, about every second
  time on a full disk), without a word of why. Then the disk is asked for its room, where it is this server's.
- *Reading locks nothing*, because a lock is a file, and a vault that is full can still be read.

Debian's restic 0.14 is the oldest that this was tried with.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from shutil import disk_usage
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import quote

from binome.core.copies import Label, Progress, Stored
from binome.drivers import tool
from binome.drivers.sizes import polled, size_of
from binome.ports_of_copies import Tell, Trouble, VaultError, VaultPlace
from binome.shown import shown

PATIENCE_S = 60.0
CONNECT_S = 10
ANSWER_S = 180.0
"""How long a question may take that moves no content, of a repository with many thousands of copies too."""
LEAST_BYTES = 64 << 20
"""Restic writes several packs of 16 MiB and more at once."""
_QUESTIONS = frozenset({"cat", "snapshots", "dump", "unlock"})
_READING = frozenset({"cat", "snapshots", "dump", "restore"})
_MINE = "binome"
_WORD = re.compile(r"[A-Za-z0-9._:+-]{1,100}")
_TROUBLES: tuple[tuple[re.Pattern[str], Trouble], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), trouble)
    for pattern, trouble in (
        (r"wrong password or no key found", Trouble.WRONG_KEY),
        (r"no space left on device|quota exceeded|insufficient storage|\(507\)", Trouble.FULL),
        (r"\(40[13]\)|40[13] forbidden|unauthorized|permission denied|read-only file system", Trouble.REFUSED),
        (r"already locked", Trouble.BUSY),
        (
            r"connection refused|no such host|i/o timeout|no route to host|network is unreachable|connection reset|"
            r"broken pipe|unexpected eof|EOF$|ssh command exited|unable to start the sftp session|\(50[234]\)",
            Trouble.UNREACHABLE,
        ),
        (r"is there a repository at|unable to open config file|config file does not exist", Trouble.NO_VAULT),
        (r"no matching id found|not found in snapshot|no snapshot found|multiple ids", Trouble.NOT_THERE),
        (
            r"verification failed|hash mismatch|does not match|not found in (the )?index|invalid data|wrong hash|"
            r"failed to load|unable to load|no such file or directory|not found in repository|"
            r"(blob|pack|tree) .*not found",
            Trouble.DAMAGED,
        ),
    )
)
_HOPELESS = frozenset({Trouble.FULL, Trouble.REFUSED})


class ResticVault:
    """One repository."""

    def __init__(
        self,
        place: VaultPlace,
        secret: Callable[[str], str],
        *,
        patience_s: float = PATIENCE_S,
        sftp: str = "",
    ) -> None:
        """Raises ValueError where the estate names no key. `sftp` is what speaks SFTP instead of SSH."""
        if not place.key:
            raise ValueError(f"a restic vault needs a key.  Add key: to vaults.{place.name}.")
        self._place = place
        self._secret = secret
        self._patience_s = patience_s
        ssh = place.at.startswith("sftp:")
        self._options = ["-o", f"sftp.command={sftp or _ssh(place.at)}"] if ssh else []

    async def prepare(self) -> bool:
        """See `ports_of_copies.Vault`."""
        try:
            await self._restic("cat", "config")
        except VaultError as error:
            if error.trouble is not Trouble.NO_VAULT:
                raise
        else:
            return False
        above = Path(self._place.at).parent
        if self._place.at.startswith("/") and not above.is_dir():  # restic would make it, on the wrong disk perhaps
            raise VaultError(Trouble.UNREACHABLE, f"{above} is not there")
        await self._restic("init")
        return True

    async def put(self, folder: Path, at_ms: int, labels: Mapping[str, str], tell: Tell) -> str:
        """See `ports_of_copies.Vault`."""
        whole = {**labels, Label.BYTES.value: str(await asyncio.to_thread(size_of, folder))}
        tags = [_MINE, *(f"{name}={value}" for name, value in whole.items())]
        if strange := [tag for tag in tags if not all(_WORD.fullmatch(word) for word in tag.split("=", 1))]:
            raise ValueError(f"labels that are no short words: {strange}")
        ids: list[str] = []

        def hear(line: str) -> None:
            with suppress(ValueError, TypeError, KeyError):
                said = json.loads(line)
                if said["message_type"] == "status":
                    tell(Progress("stored", said.get("bytes_done", 0), said.get("total_bytes")))
                elif said["message_type"] == "summary":
                    ids.append(said["snapshot_id"])

        at = f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M:%S}"
        words = ["backup", "--time", at, "--host", _MINE, *(f"--tag={tag}" for tag in tags), "."]
        await self._restic(*words, hear=hear, folder=folder)
        if not ids:
            raise VaultError(Trouble.FAILED, "restic names no snapshot")
        return next((one.id for one in await self.list() if one.id.startswith(ids[0])), ids[0])

    async def list(self) -> Sequence[Stored]:
        """See `ports_of_copies.Vault`."""
        found = json.loads(await self._restic("snapshots", f"--tag={_MINE}") or "null") or []
        every = [_stored(one) for one in found]
        return sorted(every, key=lambda one: (-one.at_ms, one.id))

    async def read(self, id_: str, name: str, most_bytes: int) -> bytes:
        """See `ports_of_copies.Vault`."""
        with NamedTemporaryFile(prefix="binome-") as file:
            await self._restic("dump", id_, f"/{name}", into=Path(file.name))
            return Path(file.name).open("rb").read(most_bytes)

    async def fetch(self, id_: str, into: Path, tell: Tell) -> None:
        """See `ports_of_copies.Vault`."""
        total = next((one.size_bytes for one in await self.list() if one.id == id_), None)
        async with polled(into, "fetched", total, tell):
            await self._restic("restore", id_, "--target", str(into))

    async def delete(self, ids: Sequence[str], tell: Tell) -> None:
        """See `ports_of_copies.Vault`."""
        there = {one.id for one in await self.list()}
        if gone := [one for one in ids if one in there]:
            tell(Progress("deleted", 0))
            await self._restic("forget", "--prune", *gone)

    async def check(self, tell: Tell, *, read: bool) -> Sequence[str]:
        """See `ports_of_copies.Vault`."""
        tell(Progress("checked", 0))
        found: list[str] = []
        try:
            await self._restic("check", *(["--read-data"] if read else []), errors=found.append)
        except VaultError as error:
            if error.trouble not in (Trouble.DAMAGED, Trouble.FAILED):
                raise
            kept = [shown(line.removeprefix("Fatal: "), 200) for line in found if line.strip()]
            return list(dict.fromkeys(kept)) or [str(error)]
        return []

    async def _restic(
        self,
        *words: str,
        hear: Callable[[str], None] | None = None,
        errors: Callable[[str], None] | None = None,
        folder: Path | None = None,
        into: Path | None = None,
    ) -> str:
        """What restic says. Raises VaultError."""
        until_s: float | None = None
        while True:
            try:
                return await self._once(words, hear, errors, folder, into)
            except VaultError as error:
                if error.trouble is not Trouble.BUSY or (until_s is not None and time.monotonic() > until_s):
                    raise
            until_s = until_s or time.monotonic() + self._patience_s
            await self._once(("unlock",))
            await asyncio.sleep(1)

    async def _once(
        self,
        words: Sequence[str],
        hear: Callable[[str], None] | None = None,
        errors: Callable[[str], None] | None = None,
        folder: Path | None = None,
        into: Path | None = None,
    ) -> str:
        said: list[str] = []
        watch = _Watch(self._patience_s, errors)
        output = said.append if hear is None else watch.progressing(hear)
        locking = ["--no-lock"] if words[0] in _READING else []
        at, hidden = self._address()
        secrets = {"RESTIC_REPOSITORY_FILE": at, "RESTIC_PASSWORD_FILE": self._read(self._place.key)}
        work = asyncio.ensure_future(
            tool.run(
                ["restic", "--json", "--cleanup-cache", *locking, *self._options, *words],
                folder=folder,
                more={"RESTIC_PROGRESS_FPS": "10"},
                secrets=secrets,
                output=output,
                errors=watch.hear,
                into=into,
                stop=signal.SIGINT,  # the one signal at which it takes its lock with it
            )
        )
        watch.stop = work.cancel
        try:
            ended = await asyncio.wait_for(work, ANSWER_S if words[0] in _QUESTIONS else None)
        except TimeoutError:
            raise VaultError(Trouble.UNREACHABLE, f"no answer within {ANSWER_S:.0f} s") from None
        except tool.ToolMissingError as error:
            raise VaultError(Trouble.NO_TOOL, str(error)) from error
        except asyncio.CancelledError:
            if watch.trouble is None:
                work.cancel()
                raise
            raise VaultError(watch.trouble, _without(watch.line, hidden)) from None
        if ended.code != 0 or _trouble(ended.last) is Trouble.NOT_THERE:
            trouble = _trouble(ended.last) or (Trouble.FULL if self._no_room() else Trouble.FAILED)
            raise VaultError(trouble, _without(_telling(ended), hidden))
        return "\n".join(said)

    def _no_room(self) -> bool:
        """Whether the vault is on a disk of this server that has no room for what restic writes at once."""
        with suppress(OSError):
            return self._place.at.startswith("/") and disk_usage(self._place.at).free < LEAST_BYTES
        return False

    def _address(self) -> tuple[str, tuple[str, ...]]:
        """Where the repository is, with its login, and what of that must not be shown."""
        at, place = self._place.at, self._place
        if not at.startswith("rest:") or not place.password:
            return at, ()
        password = self._read(place.password)
        scheme, _, rest = at.removeprefix("rest:").partition("://")
        user, quoted = place.user or place.name, quote(password, safe="")
        return f"rest:{scheme}://{user}:{quoted}@{rest}", (password, quoted)

    def _read(self, place: str) -> str:
        try:
            return self._secret(place)
        except OSError as error:
            raise VaultError(Trouble.WRONG_KEY, f"{place}: {error.strerror or error}") from error


class _Watch:
    """Hears what restic complains of, and gives up for it where waiting does not help."""

    def __init__(self, patience_s: float, errors: Callable[[str], None] | None) -> None:
        self.trouble: Trouble | None = None
        self.line = ""
        self.stop: Callable[[], object] = lambda: None
        self._patience_s = patience_s
        self._since_s: float | None = None
        self._errors = errors

    def progressing(self, hear: Callable[[str], None]) -> Callable[[str], None]:
        """The same, noting that work goes on as long as bytes do."""
        before: list[Any] = []

        def heard(line: str) -> None:
            done = re.findall(r'"bytes_done":(\d+)', line)
            if done and done != before:
                before[:] = done
                self._since_s = None
            hear(line)

        return heard

    def hear(self, line: str) -> None:
        """Takes in a line of standard error."""
        if self._errors is not None:
            self._errors(line)
        if "retrying after" not in line:
            return
        now_s = time.monotonic()
        self._since_s = self._since_s or now_s
        found = _trouble([line])
        if found in _HOPELESS or now_s - self._since_s > self._patience_s:
            self.trouble, self.line = found or Trouble.FAILED, shown(line, 300)
            self.stop()


def _ssh(at: str) -> str:
    """SSH that asks nobody and does not wait for ever, for a place such as `sftp:USER@HOST:/PATH`."""
    host = at.removeprefix("sftp:").rpartition(":")[0].replace("[", "").replace("]", "")
    return f"ssh -o BatchMode=yes -o ConnectTimeout={CONNECT_S} {host} -s sftp"


def _trouble(lines: Sequence[str]) -> Trouble | None:
    text = "\n".join(lines)
    return next((trouble for pattern, trouble in _TROUBLES if pattern.search(text)), None)


def _telling(ended: tool.Ended) -> str:
    """The line that says most: what is fatal, or a crash, else the last."""
    telling = (
        shown(line.removeprefix("Fatal: "), 300) for line in ended.last if line.startswith(("Fatal: ", "panic: "))
    )
    return next(telling, ended.said)


def _without(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "…")
    return text


def _stored(one: Mapping[str, Any]) -> Stored:
    labels = dict(tag.split("=", 1) for tag in one.get("tags") or () if "=" in tag)
    at_ms = int(datetime.fromisoformat(one["time"]).timestamp()) * 1000
    return Stored(one["id"], at_ms, labels)
