"""`binome ca`: our own small CA, by which the servers of an estate know each other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.journal_text import printable
from binome.cli.secret import SecretError, secret
from binome.estate import Estate
from binome.estate.problem import did_you_mean
from binome.render import Folders
from binome.runtime.identity import DEFAULT_DAYS, MAX_DAYS, Authority, Identity, IdentityError, Issued, moment, new_key

app = typer.Typer(help="Give servers their identity, and take it from them.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--ca", help="The folder of the CA. Whoever reads its key can be any server.")]
FOLDER = Path(Folders().ca)
Passphrase = Annotated[str, typer.Option(help="Where the passphrase of its key is: env:NAME or file:PATH.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
EstateFile = Annotated[Path, typer.Option("--estate", help="The estate file.")]
ESTATE = Path("estate.yaml")


@contextmanager
def _errors() -> Iterator[None]:
    """A CA that cannot be used ends the command: the environment's fault, and nothing was done."""
    try:
        yield
    except (IdentityError, SecretError) as error:
        fail(f"binome: {printable(str(error))}", Exit.ENVIRONMENT)


@app.command()
def init(
    file: EstateFile = ESTATE,
    folder: Folder = FOLDER,
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="How long its certificates live.")] = DEFAULT_DAYS,
    passphrase: Passphrase = "",
    as_json: AsJson = False,
) -> None:
    """Make the CA of an estate: its key, its certificate and an empty register."""
    estate = read_estate(file, as_json=as_json)
    with _errors():
        word = secret(passphrase) if passphrase else None
        made = Authority.make(folder, estate.estate, days=days, now_ms=_now_ms(), passphrase=word, where=passphrase)
    if as_json:
        print_json({"ca": str(folder), "estate": estate.estate, "days": days, "certificate": made.pem.decode()})
        return
    print(f"{folder} is the CA of {estate.estate}; its certificates live {days} days.")
    print("Keep a copy of it where no server of the estate is.  Next: binome ca issue SERVER --into DIR")


@app.command()
def issue(
    server: Annotated[str, typer.Argument(help="A server of the estate.")],
    *,
    file: EstateFile = ESTATE,
    folder: Folder = FOLDER,
    into: Annotated[
        Path | None, typer.Option("--into", help="The folder for its files.  Default: ./SERVER-tls", show_default=False)
    ] = None,
    passphrase: Passphrase = "",
    as_json: AsJson = False,
) -> None:
    """Make a key and a certificate for a server, to be put into its /etc/binome/tls."""
    estate = read_estate(file, as_json=as_json)
    _check_server(estate, file, server)
    into = into or Path(f"{server}-tls")
    with _errors():
        authority = opened(folder, passphrase)
        if authority.register().estate != estate.estate:
            fail(
                f"binome: {folder} is the CA of {authority.register().estate}, and {file} is {estate.estate}; "
                "nothing was done.",
                Exit.BAD_INPUT,
            )
        if doubt := authority.doubt(_now_ms()):
            fail(f"binome: {doubt}; nothing was done.", Exit.ENVIRONMENT)
        key = new_key()
        paper = authority.issue(server, estate.servers[server].address, key.public_key(), _now_ms())
        lists = authority.revoked(_now_ms()).pem
        Identity.put(into, ca=authority.pem, certificate=paper.pem, key=key, revoked_list=lists)
    if as_json:
        print_json({"into": str(into), **_as_json(paper.line, _now_ms())})
        return
    print(f"{into} has the identity of {server}, until {moment(paper.line.ends_ms)}; serial {paper.line.serial}.")
    print(f"Move it to {server} as {Folders().tls}; it has a key, and should stay nowhere else.")


@app.command("list")
def list_(folder: Folder = FOLDER, as_json: AsJson = False) -> None:
    """Show what was issued, and what is revoked."""
    with _errors():
        lines = sorted(Authority(folder).register().issued, key=lambda one: (one.server, one.at_ms))
    now_ms = _now_ms()
    if as_json:
        print_json([_as_json(one, now_ms) for one in lines])
        return
    for one in lines:
        print(f"{one.server:<16} {_state(one, now_ms):<8} until {moment(one.ends_ms)}   {one.serial}")
        if one.why:
            print(f"{'':<16} {printable(one.why)}")
    if not lines:
        print("Nothing was issued yet.")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="SERVER", help="A server, or the serial of one certificate.")],
    why: Annotated[str, typer.Option(help="Why, in one line: your colleagues read it.")] = "",
    folder: Folder = FOLDER,
    passphrase: Passphrase = "",
    as_json: AsJson = False,
) -> None:
    """Take a server's identity from it: all of its certificates, or one. Lookouts hand the news on."""
    with _errors():
        authority = opened(folder, passphrase)
        if not any(name in (one.server, one.serial) for one in authority.register().issued):
            servers = frozenset(one.server for one in authority.register().issued)
            remedy = did_you_mean(name, [servers], "See what was: binome ca list")
            fail(f"binome: nothing was issued to {printable(name)}; nothing was done.  {remedy}", Exit.BAD_INPUT)
        taken = authority.revoke(name, why, _now_ms())
        number = authority.revoked(_now_ms()).number
    if as_json:
        print_json({"number": number, "revoked": [_as_json(one, _now_ms()) for one in taken]})
        return
    for one in taken:
        print(f"revoked: {one.server}, serial {one.serial}, which would have lived until {moment(one.ends_ms)}")
    if not taken:
        print("Nothing of it was still valid.")
    print(f"{folder / 'revoked.pem'} is list {number}.  Where no `binome run` holds this CA, put it into a lookout's")
    print(f"{Folders().tls}; it hands it on to the others.")


def opened(folder: Path, passphrase: str = "") -> Authority:
    """The CA in a folder. Its passphrase is read when it is needed: from `passphrase`, else from where `init` was told.

    Raises IdentityError, as using it does.
    """
    authority = Authority(folder)
    where = passphrase or authority.register().passphrase

    def word() -> str:
        try:
            return secret(where)
        except SecretError as error:
            raise IdentityError(f"the passphrase of {folder / 'ca.key'}: {error}") from error

    return Authority(folder, word) if where else authority


def _check_server(estate: Estate, file: Path, server: str) -> None:
    if server not in estate.servers:
        remedy = did_you_mean(server, [frozenset(estate.servers)], "Name a server of the estate.")
        fail(f"binome: {file} has no server {printable(server)}; nothing was done.  {remedy}", Exit.BAD_INPUT)


def _state(one: Issued, now_ms: int) -> str:
    if one.revoked_ms is not None:
        return "revoked"
    return "ended" if one.ends_ms < now_ms else "valid"


def _as_json(one: Issued, now_ms: int) -> dict[str, Any]:
    return {
        "server": one.server,
        "serial": one.serial,
        "state": _state(one, now_ms),
        "how": one.how,
        "at_ms": one.at_ms,
        "begins_ms": one.begins_ms,
        "ends_ms": one.ends_ms,
        "revoked_ms": one.revoked_ms,
        "why": one.why,
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
