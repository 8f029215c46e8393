"""`binome takeover`, `binome switchover` and `binome failback`: a person moves a database."""

from __future__ import annotations

import getpass
import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from binome.cli.door import DOOR, AsJson, Door, granted, said
from binome.cli.exits import Exit, fail, print_json
from binome.cli.journal_text import printable
from binome.cli.moments import moment
from binome.core.attested import Refused
from binome.core.maintenance import GRANTED

ATTESTED_S = 150.0
"""How long a lookout may take to carry out a person's word: etcd and PostgreSQL start anew in it."""

Service = Annotated[str, typer.Argument(help="A database of the estate.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for the name once more; for scripts.")]


def takeover(
    service: Service,
    *,
    code: Annotated[str, typer.Option(help="The code of the page that asked for it.")] = "",
    attest: Annotated[
        str, typer.Option(metavar="NAMES", help="Where nobody leads: these sites or servers are off, and stay off.")
    ] = "",
    accept_loss: Annotated[
        str, typer.Option(metavar="SERVER", help="With --attest: go on there, though it may lack writes.")
    ] = "",
    anew: Annotated[
        str, typer.Option(metavar="SERVER", help="With --attest: found it there anew, empty, to restore a copy into.")
    ] = "",
    yes: Yes = False,
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Take over a database whose primary is lost, on your word. It is refused where no standby has every write.

    Where etcd has lost its majority nobody leads, and nothing is automatic. Then attest by name what is off.
    """
    if attest:
        _attested(service, attest, Loss(accept_loss, anew), yes=yes, door=door, as_json=as_json)
        return
    _confirmed(service, "is taken over: its standby becomes primary", yes=yes)
    granted(door, "takeover-asked", as_json=as_json, service=service, who=getpass.getuser(), code=code)
    if not as_json:
        print(f"{service} is taken over.")


def switchover(
    service: Service,
    to: Annotated[str, typer.Option(help="The server to move to; by default any that has every write.")] = "",
    yes: Yes = False,
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Move a healthy database to another of its members."""
    _confirmed(service, f"moves{f' to {to}' if to else ''}: writes stop for some seconds", yes=yes)
    granted(door, "switchover-asked", as_json=as_json, service=service, to=to, who=getpass.getuser())
    if not as_json:
        print(f"{service} has moved.")


def failback(service: Service, yes: Yes = False, door: Door = DOOR, as_json: AsJson = False) -> None:
    """Move a database back to the member that the estate names first. It is refused while the database is not whole."""
    _confirmed(service, "moves back to its first member: writes stop for some seconds", yes=yes)
    granted(door, "failback-asked", as_json=as_json, service=service, who=getpass.getuser())
    if not as_json:
        print(f"{service} is back.")


def _confirmed(service: str, what: str, *, yes: bool) -> None:
    """Goes on where the person types the service's name; ends the command where not."""
    if not yes:
        _typed(f"{service} {what}.", service)


def _typed(words: str, name: str) -> None:
    """Goes on where the person types a name."""
    print(f"{words}  Its name, to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != name:
        fail("binome: that is not its name; nothing was done.  For scripts: --yes", Exit.BAD_INPUT)


class Loss(NamedTuple):
    """The server that a person lets go on though it may lack writes, and the one that he lets begin with none."""

    accepted: str
    anew: str


def _attested(service: str, names: str, loss: Loss, *, yes: bool, door: Path, as_json: bool) -> None:
    """Hands in what a person attests, once it is clear to him what that means."""
    found = said(door, {"do": "attestable", "service": service})
    if "refused" in found:
        _refused(found["refused"], as_json=as_json)
    wanted = [one.strip() for one in names.split(",") if one.strip()]
    if not yes:
        _typed(printable(_risk(found)), service)
        if loss.anew:
            _typed(
                printable(f"{loss.anew} begins with nothing: all that is left of {service} is in its copies."),
                loss.anew,
            )
        elif not found["whole"] and loss.accepted != found["survivor"]:
            _typed(printable(_loss(found)), found["survivor"])
            loss = loss._replace(accepted=found["survivor"])
    question = {
        "do": "attest",
        "request": f"{time.time_ns() // 1_000_000}-{secrets.token_hex(4)}",
        "service": service,
        "names": wanted,
        "accepts_loss": loss.accepted,
        "anew": loss.anew,
        "who": getpass.getuser(),
    }
    answer = said(door, question, within_s=ATTESTED_S)
    if "unknown" in answer:
        if as_json:
            print_json(answer)
        fail(printable(f"binome: not done, or not all of it: {answer['unknown']}.  Ask again."), Exit.UNKNOWN)
    if answer["answer"] != GRANTED:
        _refused(answer["answer"], _why(answer), as_json=as_json)
    if as_json:
        print_json(answer)
    else:
        state = "is empty on" if loss.anew else "goes on with"
        print(printable(f"{service} {state} {answer['survivor']}, alone: the next loss would take data with it."))


def _refused(reason: str, why: str = "", *, as_json: bool) -> None:
    if as_json:
        print_json({"answer": reason})
    fail(printable(f"binome: refused: {reason}{why}; nothing was done."), Exit.BAD_ANSWER)


def _why(answer: dict[str, Any]) -> str:
    match answer["answer"]:
        case Refused.OTHER_NAMES.value:
            return f": --attest {','.join(answer['names'])}"
        case Refused.ANSWERS.value:
            return f": {', '.join(answer['answering'])}"
        case Refused.NOT_SYNCHRONOUS.value:
            return f".  {_loss(answer)}  To go on all the same: --accept-loss {answer['survivor']}"
    return ""


def _risk(found: dict[str, Any]) -> str:
    """What a person answers for."""
    lost = "; ".join(f"{name} ({', '.join(servers)})" for name, servers in found["lost"].items())
    return (
        f"Nothing is heard of {lost}.  You attest that all of this is off, and stays off until it is let in again: "
        f"what still runs there would go on writing, and that would be lost.  {found['survivor']} then goes on with "
        f"{found['service']} alone.  If it was cut off before the others were lost, what they acknowledged meanwhile "
        "is lost; nobody on this side can know."
    )


def _loss(found: dict[str, Any]) -> str:
    """How much could be lost."""
    now_ms = time.time_ns() // 1_000_000
    return (
        f"{found['survivor']} was not synchronous: what {found['primary']} acknowledged since "
        f"{moment(found['known_ms'], now_ms)} may be lost, all of it."
    )
