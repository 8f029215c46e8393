"""`binome journal`: read what happened, and prove that nothing of it was changed."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from pydantic import TypeAdapter, ValidationError

from binome.cli.exits import Exit, fail, print_json
from binome.cli.journal_text import ILLEGIBLE, day_of, kind_of, line_of, verdict_lines
from binome.core.entry import EMPTY, Entry, follows
from binome.core.state import VOCABULARY
from binome.estate.scalars import Milliseconds
from binome.journal import heads
from binome.journal.inspect import inspect
from binome.journal.sqlite import DamagedError, SqliteReader
from binome.ports import StoreError

JOURNAL = Path("/var/lib/binome/journal.sqlite")
KEY = Path("/var/lib/binome/head.key")
LOOK_S = 0.25
"""How often a journal that is followed is looked at."""

app = typer.Typer(help="Read the journal, also while it is written; verify that it is what was written.")

File = Annotated[Path | None, typer.Option("--file", help=f"The journal's file.  [default: {JOURNAL}]")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.callback(invoke_without_command=True)
def show(  # noqa: PLR0917
    context: typer.Context,
    file: File = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as entries come, until Ctrl-C.")] = False,
    since: Annotated[
        str | None, typer.Option(help="Only from then on: 2h, 00:45, 2026-10-18, 2026-10-18 00:45.", metavar="WHEN")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only facts of this kind; may be given again.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, an entry a line, with all that it holds.")] = False,
) -> None:
    """Print the journal, an entry a line."""
    context.obj = file
    if context.invoked_subcommand is not None:
        return
    path = file or JOURNAL
    since_ms = None if since is None else _moment_ms(since, datetime.now().astimezone())
    reader = _reader(path)
    try:
        _check_kinds(reader, kind or ())
        first = 1 if since_ms is None else reader.first_since(since_ms)
        damaged, day = False, ""
        for entry, reason in _entries(reader, first, follow=follow):
            if reason is not None:
                damaged = True
                print(f"binome: entry {entry.sequence} is {reason}; see binome journal verify", file=sys.stderr)
            if (since_ms is None or entry.at_ms >= since_ms) and (not kind or kind_of(entry) in kind):
                if not as_json and day != day_of(entry.at_ms):
                    day = day_of(entry.at_ms)
                    print(day)
                line = msgspec.json.encode(entry).decode(errors="replace") if as_json else line_of(entry)
                print(line, flush=follow)
        if damaged:
            raise typer.Exit(Exit.BAD_ANSWER)
    except DamagedError as error:
        fail(f"binome: {error}; see binome journal verify", Exit.BAD_ANSWER)
    except StoreError as error:
        fail(f"binome: {error}", Exit.ENVIRONMENT)
    finally:
        reader.close()


@app.command()
def verify(
    context: typer.Context,
    file: File = None,
    folders: Annotated[
        list[Path] | None, typer.Option("--heads", help="A folder of signed heads; may be given again.", metavar="DIR")
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", help="A public key that may sign heads, in hex; may be given again.", metavar="KEY"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that nothing was edited, deleted, reordered, cut off or forked, or name the first entry that was."""
    path = file or context.obj or JOURNAL
    signed = _heads(folders or [])
    objections = {place: heads.objection(head, keys or ()) for place, head in signed.items()}
    witnesses = [head for place, head in signed.items() if objections[place] is None]
    if not path.exists():
        fail(f"binome: {path}: no such file; nothing was done.", Exit.BAD_INPUT)
    try:
        verdict = inspect(path, witnesses)
    except StoreError as error:
        fail(f"binome: {error}", Exit.ENVIRONMENT)
    refused = {str(place): why for place, why in objections.items() if why is not None}
    if as_json:
        finding = verdict.finding._asdict() if verdict.finding is not None else None
        proof = {"file": str(path), "whole": verdict.head._asdict(), "finding": finding}
        print_json({**proof, "heads": len(witnesses), "agreed": verdict.agreed, "heads_refused": refused})
    else:
        for place, why in refused.items():
            print(f"{place}: this head is not believed: {why}")
        for line in verdict_lines(str(path), verdict, len(witnesses), trusted=bool(keys)):
            print(line)
    if verdict.finding is not None or refused:
        raise typer.Exit(Exit.BAD_ANSWER)


@app.command()
def key(
    file: Annotated[Path, typer.Option("--file", help="The file of the private key.")] = KEY,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the public key that this server's heads are signed with; the private one is made at first use."""
    try:
        public = heads.public(heads.key_at(file))
        print_json({"key": public}) if as_json else print(public)
    except heads.HeadError as error:
        fail(f"binome: {error}", Exit.ENVIRONMENT)
    except ImportError as error:
        _without_cryptography(error)


def _reader(path: Path) -> SqliteReader:
    if not path.exists():
        fail(f"binome: {path}: no such file; nothing was done.", Exit.BAD_INPUT)
    try:
        return SqliteReader(path)
    except DamagedError as error:
        fail(f"binome: {error}; nothing was done.", Exit.BAD_INPUT)
    except StoreError as error:
        fail(f"binome: {error}", Exit.ENVIRONMENT)


def _check_kinds(reader: SqliteReader, kinds: Collection[str]) -> None:
    """Ends the command for a kind that this version does not know and of which nothing is in the file."""
    strange = set(kinds) - {*VOCABULARY.kinds, ILLEGIBLE}
    if strange:
        strange -= {kind_of(entry) for entry, _ in _entries(reader, 1, follow=False)}
    if strange:
        known = ", ".join(sorted(VOCABULARY.kinds))
        fail(f"binome: --kind {min(strange)} is no kind of fact.  The kinds are {known}.", Exit.BAD_INPUT)


def _entries(reader: SqliteReader, first: int, *, follow: bool) -> Iterator[tuple[Entry, str | None]]:
    """Entries from number `first` on, each with what is wrong with it; with `follow` for ever."""
    before = reader.unchecked(first - 2, 1) if first > 1 else []
    head = before[0].head if before else EMPTY
    after = first - 1
    while True:
        entries = reader.unchecked(after)
        for entry in entries:
            yield entry, follows(entry, head)
            head = entry.head
        after = entries[-1].sequence if entries else after
        if not entries and not follow:
            return
        if not entries:
            time.sleep(LOOK_S)


def _heads(folders: list[Path]) -> dict[Path, heads.SignedHead]:
    try:
        import cryptography  # noqa: F401, PLC0415

        signed = heads.load_all(folders)
    except heads.HeadError as error:
        fail(f"binome: {error}; nothing was done.", Exit.BAD_INPUT)
    except ImportError as error:
        if not folders:
            return {}
        _without_cryptography(error)
    estates = sorted({head.estate for head in signed.values()})
    if len(estates) > 1:
        fail(f"binome: heads of several estates: {', '.join(estates)}.  Give the folders of one.", Exit.BAD_INPUT)
    return signed


def _without_cryptography(error: ImportError) -> None:
    fail(f"binome: signed heads need the extra binome[agreement]: {error}", Exit.ENVIRONMENT)


_DURATION: TypeAdapter[int] = TypeAdapter(Milliseconds)


def _moment_ms(text: str, now: datetime) -> int:
    """When `--since` means, in milliseconds since 1970: so long ago, or a time of this machine's zone."""
    try:
        return round(now.timestamp() * 1000) - _DURATION.validate_python(text)
    except ValidationError:
        pass
    try:
        if len(text) in (5, 8) and ":" in text:  # a time of day, the last time that it was
            moment = datetime.fromisoformat(f"{now.date()} {text}").astimezone()
            moment -= timedelta(days=moment > now)
        else:
            moment = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        fail(
            f"binome: --since {text} is no time.  Say how long ago (90s, 2h, 3d) or when (00:45, 2026-10-18 00:45).",
            Exit.BAD_INPUT,
        )
    return round(moment.timestamp() * 1000)
