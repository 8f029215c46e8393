"""`binome letter N`: a letter about an incident, drafted from its facts; sent only by a person who has seen it."""

from __future__ import annotations

import asyncio
import textwrap
import time
from email.utils import parseaddr
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from binome.cli.door import DOOR, AsJson, Door, said
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.journal_text import printable
from binome.cli.lines import show
from binome.core.letter import Known, Span, Statement, denials, left_out, statements
from binome.core.page import identity, one_line
from binome.core.paging_notes import Sent
from binome.drivers import notify
from binome.estate import Estate
from binome.ports import Delivery, Message, Notify

WIDTH = 78
SEND_S = 60.0


def letter(
    number: Annotated[int, typer.Argument(help="The incident's number.", min=1)],
    *,
    to: Annotated[Literal["staff", "customers"], typer.Option(help="Whom it is for.")],
    lang: Annotated[Literal["en", "fr"], typer.Option(help="Its language.")] = "en",
    templates: Annotated[Path | None, typer.Option(help="A folder with templates of your own.")] = None,
    send: Annotated[bool, typer.Option("--send", help="Show it, ask, and send it.")] = False,
    estate: Annotated[
        Path | None, typer.Option(help="The estate file; --send takes senders and staff from it.")
    ] = None,
    address: Annotated[
        list[str] | None, typer.Option(help="Where to send it; staff have theirs in the estate.")
    ] = None,
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Draft a letter from the facts of an incident; with --send show it, ask, and send it.

    Ends with 1 where a template leaves out or denies that a product was hit, or a letter could not be sent, with 2 for
    an incident that was joined to another: it names that one.
    """
    if send and (as_json or estate is None):
        fail("binome: --send needs --estate FILE, and a person: not --json.", Exit.BAD_INPUT)
    answer = said(door, {"do": "incident", "incident": number})
    if answer["incident"] is None:
        fail(f"binome: no incident {number} is known here.  binome incidents lists them.", Exit.BAD_INPUT)
    if into := answer["incident"].get("into"):
        words = (
            f"binome: incident {number} goes on as incident {into}.  Write about that: binome letter {into} --to {to}"
        )
        fail(words, Exit.BAD_INPUT)
    subject, body, told = drafted(answer["incident"], to, lang, templates)
    missing = left_out(body, told)
    if missing:
        fail(
            f"binome: the template leaves out what happened to {', '.join(missing)}; nothing was sent.", Exit.BAD_ANSWER
        )
    quoted = [printable(one["said"]) for one in answer["incident"]["moments"]]
    if denied := denials(f"{subject}\n{body}", told, quoted):
        words = f"binome: the template says {denied[0]!r}, and the facts say otherwise; nothing was sent."
        fail(printable(words), Exit.BAD_ANSWER)
    if as_json:
        print_json({"subject": subject, "body": body, "statements": [one._asdict() for one in told]})
        return
    show(f"Subject: {subject}")
    print(f"\n{body}")
    if send and estate is not None:
        _send(read_estate(estate), to, address or [], (subject, body), number)


def drafted(one: dict[str, Any], to: str, language: str, templates: Path | None) -> tuple[str, str, list[Statement]]:
    """Subject and body of a letter about an incident (as `binome incident --json` has it), and what it must say."""
    told = statements(map(_known, sorted(one["products"].items())), language)
    lasts = any(each["until_ms"] is None for known in one["products"].values() for each in known["intervals"])
    values = {
        "number": one["incident"],
        "headline": one["headline"],
        "sentence": one["sentence"],
        "open": one["state"] != "resolved" or lasts,
        "since": one["since"],
        "day": one["day"],
        "until": one["until"] or "",
        "on_it": one["acknowledged_by"],
        "statements": told,
        "moments": one["moments"],
    }
    text = _rendered(f"{to}.{language}.txt", templates, values)
    head, _, body = text.partition("\n")
    subject = one_line(head.removeprefix("Subject:"))
    return subject, "\n".join(_filled(printable(line)) for line in body.strip().splitlines()) + "\n", told


def _known(item: tuple[str, dict[str, Any]]) -> Known:
    name, known = item
    return Known(
        name,
        tuple(Span(each["since"], each["until"] or "") for each in known["intervals"]),
        known["unavailable_ms"],
        known["takeover_ms"],
        tuple(known["unsure"]),
        known["confirmed"],
    )


def _rendered(name: str, templates: Path | None, values: dict[str, Any]) -> str:
    try:
        from jinja2 import StrictUndefined, TemplateError  # noqa: PLC0415 - an extra that only letters need
        from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415
    except ImportError:
        fail("binome: letters need Jinja2.  Install the extra `binome[paging]`.", Exit.ENVIRONMENT)
    try:
        own = templates / name if templates is not None else None
        found = own if own is not None and own.exists() else resources.files("binome.cli") / "letters" / name
        environment = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)
        return environment.from_string(found.read_text(encoding="utf-8")).render(values)
    except TemplateError as error:
        fail(f"binome: the template {name} cannot be used: {error}", Exit.BAD_INPUT)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"binome: the template {name} cannot be read: {error}", Exit.BAD_INPUT)


def _filled(line: str) -> str:
    indent = "  " if line.startswith("- ") else ""
    return (
        "\n".join(textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False))
        if line
        else ""
    )


def _send(estate: Estate, to: str, address: list[str], draft: tuple[str, str], number: int) -> None:
    """Asks, and sends: to each address a mail of its own. Ends the command where one was not accepted."""
    subject, body = draft
    staff = [one.email for one in estate.people.contacts.values() if one.email and to == "staff"]
    where = list(dict.fromkeys([*address, *staff]))
    if not where or any("@" not in parseaddr(one)[1] for one in where):
        fail("binome: nobody to send it to.  Name them: --address somebody@example.org", Exit.BAD_INPUT)
    mail = {name: one for name, one in estate.people.senders.items() if one.kind == "smtp"}
    loaded = notify.load(mail, notify.secret_of)
    if not loaded.senders:
        fail(f"binome: no sender of kind smtp works.  {' '.join(loaded.problems)}".rstrip(), Exit.ENVIRONMENT)
    via, sender = next(iter(loaded.senders.items()))
    if not typer.confirm(f"Send this to {', '.join(where)} by {via}?", default=False):
        print("Nothing was sent.")
        return
    failed = False
    for one in where:
        delivery = asyncio.run(_delivered(sender, _message(one, subject, body, number)))
        print(printable(f"{one}: {delivery.outcome.value} ({delivery.said})"))
        failed |= delivery.outcome is not Sent.ACCEPTED
    if failed:
        raise typer.Exit(Exit.BAD_ANSWER)


def _message(to: str, subject: str, body: str, number: int) -> Message:
    name = identity("letter", str(number), to, subject, body)
    return Message(name, to, parseaddr(to)[1], one_line(subject), one_line(subject), body, time.time_ns() // 1_000_000)


async def _delivered(sender: Notify, message: Message) -> Delivery:
    try:
        async with asyncio.timeout(SEND_S):
            return await sender.send(message)
    except TimeoutError:
        return Delivery(Sent.UNKNOWN, f"no answer within {SEND_S:g} s")
