"""`binome restore`: what a copy holds is there again: in a database that runs, or in a folder."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import typer

from binome.cli.backup import SCRATCH, TLS, listed, now_ms, sums, vaults_of
from binome.cli.copies import ESTATE, AsJson, AsServer, EstateFile, at, progress, said, server_of, short, size
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.journal_text import printable
from binome.cli.moments import lasted
from binome.cli.proofs import newest
from binome.core.copies import Stored
from binome.core.restoring import Chosen, Copy, Refused, There, chosen, copies, in_a_vault, objection
from binome.core.sources import PORT, Source
from binome.drivers.backup.shared.postgres import password_of
from binome.drivers.notify import secret_of
from binome.drivers.restore import load
from binome.drivers.restore.files import RestoreFiles
from binome.drivers.restore.shared.allowed import Allowance
from binome.drivers.restore.shared.targets import AsSaved, EngineTarget, FolderTarget, Stopped
from binome.estate import Estate
from binome.estate.problem import did_you_mean
from binome.ports_of_copies import CopyError, Needs, Place, RestoreError, Restorer, Unrestored, Vault
from binome.runtime.restoring import Hands, NotFetchedError, RefusedError, Restored, Target
from binome.runtime.restoring import restore as restored

_UNVERIFIABLE = "its signature cannot be verified here"
_CODES = {Unrestored.UNREACHABLE: Exit.UNKNOWN, Unrestored.FULL: Exit.ENVIRONMENT, Unrestored.NO_TOOL: Exit.ENVIRONMENT}


def restore(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Data of the estate, or a backup: all that is in it.")],
    id_: Annotated[str, typer.Argument(metavar="[ID]", help="The beginning of a copy's id.")] = "",
    *,
    into: Annotated[str, typer.Option(metavar="SERVER|FOLDER", help="Where to: a server's database, or a folder.")],
    moment: Annotated[str, typer.Option("--at", metavar="TIME", help="The newest copy of that moment or before.")] = "",
    unproven: Annotated[
        bool, typer.Option("--unproven", help="Take the newest copy, though nobody proved it.")
    ] = False,
    allow: Annotated[list[str] | None, typer.Option(help=f"Of files, also: {', '.join(Allowance)}.")] = None,
    aside: Annotated[bool, typer.Option("--aside", help="Rename a folder that holds something.")] = False,
    user: Annotated[str, typer.Option(help="The superuser to restore as; as the estate says by default.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the name once more; for scripts.")] = False,
    scratch: Annotated[Path, typer.Option(help="Where the copy is fetched to before.")] = SCRATCH,
    tls: Annotated[Path, typer.Option("--tls", help="The folder of this server's identity.")] = TLS,
    file: EstateFile = ESTATE,
    server: AsServer = "",
    as_json: AsJson = False,
) -> None:
    """Restore the newest proven copy: fetched, verified, restored aside, compared with what was saved, and named last.

    Nothing that is there is written over. Ends with 0 once what is there is what was saved; with 1 where it is not, or
    nothing was done because of what is there or of what the copy is; with 4 where no vault or server could be asked.
    """
    estate = read_estate(file, as_json=as_json)
    here = server_of(estate, file, server)
    backups, only = _backups(estate, name, file)
    names = tuple(dict.fromkeys(to for one in backups for to in estate.backups[one].to))
    vaults, absent = vaults_of(estate, names, here)
    found, more = asyncio.run(listed(vaults))
    troubles = {vault: str(error) for vault, error in (absent | more).items()}
    picked = chosen(copies(found, estate, backups), id_=id_, at_ms=_moment(moment), unproven=unproven)
    if isinstance(picked, Refused):
        for vault, trouble in troubles.items():
            said(f"binome: {vault}: {trouble}")
        nothing = picked in (Refused.NO_COPY, Refused.NONE_BEFORE) and troubles
        _refuse(name, picked, "", Exit.UNKNOWN if nothing else Exit.BAD_ANSWER, as_json=as_json)
    doubt = _doubt(estate, picked.copy, vaults, found, tls)
    if doubt and not unproven:
        _refuse(name, Refused.NOT_BELIEVED, doubt, Exit.BAD_ANSWER, as_json=as_json)
    wish = Wish(into, only, user, aside, tuple(allow or ()))
    restorer, target = _target(estate, here, picked.copy, wish)
    there = _looked(target, into)
    plan = _plan(picked, there, troubles)
    if not as_json or not yes:
        _print_plan(plan, to_screen=not as_json)
    if refused := objection(there):
        _refuse(name, refused, there.holds or there.where, Exit.BAD_ANSWER, as_json=as_json, plan=plan)
    if dry_run:
        if as_json:
            print_json({**plan, "done": False})
        return
    _room(picked.copy, scratch)
    if not yes:
        _typed(into)
    with progress() as tell, _ended(into, scratch):
        hands = Hands(restorer, vaults, sums, now_ms)
        work = restored(picked.copy, target, scratch=scratch, only=only, hands=hands, tell=tell)
        done = asyncio.run(work)
    _print_done(done, plan, as_json=as_json)
    if done.differences:
        raise typer.Exit(Exit.BAD_ANSWER)


def _doubt(
    estate: Estate, copy: Copy, vaults: Mapping[str, Vault], found: Mapping[str, Sequence[Stored]], tls: Path
) -> str:
    """Why the proof of a copy is not believed; empty where it is, or there is none. What cannot be verified is said."""
    for vault in copy.proven[:1]:
        one = next(each for each in found[vault] if each.id == copy.ids[vault])
        believed = asyncio.run(newest(estate, vaults[vault], found[vault], one, tls))
        if believed is not None and believed.why:
            said(f"binome: {vault}: the proof: {believed.why}")
            return "" if believed.why.startswith(_UNVERIFIABLE) else believed.why
    return ""


class Wish(NamedTuple):
    """Where something is wanted, and how. `only` is the data that is wanted of a copy, empty where it is all."""

    into: str
    only: str
    user: str
    aside: bool
    allow: tuple[str, ...]


def _looked(target: Target, into: str) -> There:
    try:
        return asyncio.run(target.look())
    except RestoreError as error:
        fail(f"binome: {into}: {printable(str(error))}; nothing was done.", _CODES.get(error.why, Exit.BAD_ANSWER))


def _backups(estate: Estate, name: str, file: Path) -> tuple[tuple[str, ...], str]:
    """The backups that hold what is asked for, and the data that is wanted of them; empty where it is all."""
    if name not in estate.data and name not in estate.backups:
        known = frozenset({*estate.data, *estate.backups})
        remedy = did_you_mean(name, [known], "Name data or a backup of the estate.")
        fail(f"binome: {file} has no data and no backup {printable(name)}; nothing was done.  {remedy}", Exit.BAD_INPUT)
    if name in estate.data:
        return tuple(one for one, backup in estate.backups.items() if name in backup.of), name
    return (name,), ""


def _moment(text: str) -> int | None:
    """A moment in milliseconds; in UTC, as copies are named, unless it says otherwise."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"binome: --at {printable(text)}: expected a time such as 2026-11-24T02:00:00Z.", Exit.BAD_INPUT)
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000) + 999


def _target(estate: Estate, here: str, copy: Copy, wish: Wish) -> tuple[Restorer, Target]:
    """How this copy is restored, and where to; ends the command where it cannot be there."""
    into = wish.into
    try:
        allowed = frozenset(Allowance(one) for one in wish.allow)
    except ValueError:
        fail(f"binome: --allow takes {', '.join(Allowance)}; nothing was done.", Exit.BAD_INPUT)
    try:
        restorer: Restorer = RestoreFiles(allowed) if copy.method == "files" else load(copy.method)
    except ValueError as error:
        fail(f"binome: {printable(str(error))}  Nothing was done.", Exit.ENVIRONMENT)
    if "/" in into:
        folder = Path(os.path.realpath(into))
        owner = "postgres" if restorer.needs is Needs.CLUSTER else ""
        made = FolderTarget(folder, vault=in_a_vault(str(folder), estate, here), aside=wish.aside, owner=owner)
        if restorer.needs is Needs.ENGINE:
            return AsSaved(restorer), made
        return Stopped(restorer) if owner else restorer, made
    if into not in estate.servers:
        remedy = did_you_mean(into, [frozenset(estate.servers)], "A folder has a slash in it: ./FOLDER")
        fail(f"binome: the estate has no server {printable(into)}; nothing was done.  {remedy}", Exit.BAD_INPUT)
    if restorer.needs is not Needs.ENGINE:
        fail(
            f"binome: a copy by {copy.method} is restored into a folder, not into a server; nothing was done.  "
            "Name one: --into /var/lib/restored",
            Exit.BAD_INPUT,
        )
    return restorer, EngineTarget(into, *_engine(estate, here, copy, wish))


def _engine(estate: Estate, here: str, copy: Copy, wish: Wish) -> tuple[Place, dict[str, str]]:
    """How the database of a server is reached, and which of its databases are meant, by source."""
    names, into = [wish.only] if wish.only else list(estate.backups[copy.backup].of), wish.into
    services = {estate.data[name].in_ for name in names}
    for service in services:
        one = estate.services[service]
        if into not in (*one.on, *getattr(one, "spares", ())):
            fail(
                f"binome: {into} is no member and no spare of {service}; nothing was done.  "
                f"Name one of {', '.join(one.on)}, or a folder.",
                Exit.BAD_INPUT,
            )
    data = estate.data[names[0]]
    address = estate.servers[into].address
    host = data.socket if data.socket is not None and into == here else address
    if host is None:
        fail(f"binome: {into} has no address; nothing was done.  Add address: to servers.{into}.", Exit.BAD_INPUT)
    source = Source("", (), host=host, port=PORT, user=wish.user or data.user or "", password=data.password or "")
    try:
        password = password_of(source, secret_of)
    except CopyError as error:
        fail(f"binome: {printable(str(error))}; nothing was done.", Exit.ENVIRONMENT)
    place = Place(Path("/"), host=host, port=source.port, user=source.user, password=password)
    return place, {name: estate.data[name].database or name for name in names}


def _room(copy: Copy, scratch: Path) -> None:
    try:
        found = os.statvfs(scratch)
    except OSError as error:
        fail(f"binome: {scratch}: {error.strerror}; nothing was done.", Exit.ENVIRONMENT)
    free = found.f_bavail * found.f_frsize
    if copy.size_bytes is not None and free < copy.size_bytes:
        fail(
            f"binome: {scratch} has {size(free)} free, and the copy is {size(copy.size_bytes)}; nothing was done.  "
            "Name another folder: --scratch",
            Exit.ENVIRONMENT,
        )


def _typed(into: str) -> None:
    """Goes on where the person types the target's name."""
    print(f"Type {printable(into)} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != into:
        fail("binome: that is not its name; nothing was done.  For scripts: --yes", Exit.BAD_INPUT)


@contextmanager
def _ended(into: str, scratch: Path) -> Iterator[None]:
    """Ends the command with a sentence where nothing was restored."""
    try:
        yield
    except NotFetchedError as error:
        for vault, trouble in error.troubles.items():
            said(f"binome: {vault}: {trouble}")
        code = Exit.UNKNOWN if error.unreachable else Exit.BAD_ANSWER
        fail("binome: no vault gave the copy whole; nothing was restored.", code)
    except RefusedError as error:
        fail(
            f"binome: {into}: {error.refused.value}: {printable(error.there.holds)}; nothing was done.", Exit.BAD_ANSWER
        )
    except RestoreError as error:
        fail(
            f"binome: {into}: {printable(str(error))}; what was begun was taken away again.",
            _CODES.get(error.why, Exit.BAD_ANSWER),
        )
    except OSError as error:
        fail(f"binome: {error.filename or scratch}: {error.strerror}; nothing was restored.", Exit.ENVIRONMENT)


def _plan(picked: Chosen, there: There, troubles: Mapping[str, str]) -> dict[str, Any]:
    copy = picked.copy
    return {
        "backup": copy.backup,
        "method": copy.method,
        "at_ms": copy.at_ms,
        "size_bytes": copy.size_bytes,
        "proven": bool(copy.proven),
        "from": dict(copy.ids),
        "newer_unproven_ms": picked.newer and picked.newer.at_ms,
        "into": there.where,
        "role": there.role,
        "holds": there.holds,
        "troubles": dict(troubles),
    }


def _print_plan(plan: Mapping[str, Any], *, to_screen: bool) -> None:
    """Says what would be done; on standard error where standard output is for JSON."""
    out = sys.stdout if to_screen else sys.stderr
    state = "proven" if plan["proven"] else "NOT PROVEN: nobody has ever restored it"
    first, *others = [f"{vault} {short(id_)}" for vault, id_ in plan["from"].items()]
    rows = [
        (
            "copy",
            f"{plan['backup']} by {plan['method']}, as of {at(plan['at_ms'])}: {size(plan['size_bytes'])}, {state}",
        ),
        ("from", ", else ".join([first, *others])),
        ("into", f"{plan['into']}, {plan['role']}"),
        ("there", f"{plan['holds']}: this is not written over" if plan["holds"] else "nothing that is written over"),
        ("lost", f"what was written after that: {lasted(time.time() - plan['at_ms'] / 1000)}"),
    ]
    if plan["newer_unproven_ms"] is not None:
        rows.append(("newer", f"a copy as of {at(plan['newer_unproven_ms'])} is not proven; --unproven takes it"))
    rows += [("without", f"{vault}: {trouble}") for vault, trouble in plan["troubles"].items()]
    for word, value in rows:
        print(printable(f"{word:<8} {value}"), file=out)


def _refuse(
    name: str, refused: Refused, what: str, code: Exit, *, as_json: bool, plan: Mapping[str, Any] | None = None
) -> NoReturn:
    if as_json:
        print_json({**(plan or {}), "refused": refused.value, "done": False})
    detail = f": {what}" if what else ""
    fail(printable(f"binome: {name}: {refused.value}{detail}; nothing was done."), code)


def _print_done(done: Restored, plan: Mapping[str, Any], *, as_json: bool) -> None:
    same = not done.differences
    if as_json:
        record = {"vault": done.vault, "id": done.id, "phases_ms": done.phases_ms, "compared": done.counts}
        more = {"differences": done.differences, "troubles": {**plan["troubles"], **done.troubles}}
        print_json({**plan, **record, **more, "done": True, "same": same})
        return
    for vault, trouble in done.troubles.items():
        said(f"{vault} was passed over: {trouble}")
    phases = ", ".join(f"{phase} {lasted(ms / 1000)}" for phase, ms in done.phases_ms.items())
    print(f"restored from {done.vault} in {lasted(sum(done.phases_ms.values()) / 1000)}: {phases}")
    counts = ", ".join(f"{count:,} {name}" for name, count in done.counts.items())
    if same:
        print(f"it is what was saved: {counts}")
        return
    print("IT IS NOT WHAT WAS SAVED:")
    for line in done.differences:
        print(printable(f"  {line}"))
