"""What people ask and say about incidents: `binome incidents`, `incident`, `note`, `ack`, `silence`, `resolve`, …"""

from __future__ import annotations

import getpass
import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from binome.cli.door import DOOR, AsJson, Door, granted, said
from binome.cli.exits import Exit, fail, print_json
from binome.cli.journal_text import printable
from binome.cli.lines import show, wrapped
from binome.estate.scalars import Milliseconds

Number = Annotated[int, typer.Argument(help="The incident's number, as binome incidents shows it.", min=1)]
For = Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")]


def incidents(door: Door = DOOR, as_json: AsJson = False) -> None:
    """Show the incidents, the newest first; what this lookout sees alone; what is silenced.

    Ends with 1 where one is open, or something is seen that nobody has confirmed.
    """
    answer = said(door, {"do": "incidents"})
    if as_json:
        print_json(answer)
    else:
        for line in lines_of_all(answer):
            print(line)
    if answer["unconfirmed"] or any(one["state"] != "resolved" for one in answer["incidents"]):
        raise typer.Exit(Exit.BAD_ANSWER)


def lines_of_all(answer: dict[str, Any]) -> list[str]:
    """The list, in lines of at most 100 characters."""
    found = []
    for one in reversed(answer["incidents"]):
        who = f", {one['acknowledged_by']} is on it" if one["acknowledged_by"] and one["state"] != "resolved" else ""
        hit = f"; cannot be used: {', '.join(one['unusable'])}" if one["unusable"] else ""
        head = f"{one['incident']:>4}  {one['state']:<8}  {one['day']} {one['since']}  "
        found += wrapped(head, f"{one['sentence']} ({duration(one['lasted_ms'])}{who}{hit})")
    for what in answer["unconfirmed"]:
        found += wrapped("   -  alone     ", f"{what}; seen by this lookout alone")
    for one in answer["silenced"]:
        found += wrapped(
            "silenced  ", f"{one['subject']} until {_local(one['until_ms'])}, by {one['who']}: {one['why']}"
        )
    for one in answer["overrides"]:
        found += wrapped("on call   ", f"{one['who']} from {_local(one['from_ms'])} until {_local(one['until_ms'])}")
    return found or ["No incident is known."]


def incident(number: Number, door: Door = DOOR, as_json: AsJson = False) -> None:
    """Show one incident: what is known, which products it hit and for how long, and its log book.

    Ends with 1 while it is open, with 2 where there is none of that number.
    """
    answer = said(door, {"do": "incident", "incident": number})
    one = answer["incident"]
    if one is None:
        fail(f"binome: no incident {number} is known here.  binome incidents lists them.", Exit.BAD_INPUT)
    if as_json:
        print_json(one)
    else:
        for line in lines_of(answer["estate"], one):
            print(line)
    if one["state"] != "resolved":
        raise typer.Exit(Exit.BAD_ANSWER)


def lines_of(estate: str, one: dict[str, Any]) -> list[str]:
    """An incident, in lines of at most 100 characters."""
    state = one["state"] + (f": {one['why']}" if one["why"] else "")
    since = f"since {one['day']} {one['since']} ({duration(one['lasted_ms'])})"
    found = wrapped("", f"{estate} {one['incident']}   {since}   {state}")
    found += ["", *wrapped("", one["sentence"])]
    for name, known in one["products"].items():
        if known["intervals"]:
            spans = "; ".join(f"{each['since']} to {each['until'] or 'now'}" for each in known["intervals"])
            doubt = "" if known["confirmed"] else ", unconfirmed"
            total = duration(known["unavailable_ms"])
            found += wrapped(f"{name:<14}", f"could not be used for {total}{doubt}: {spans}")
        else:
            found += wrapped(f"{name:<14}", "no outage seen")
    who = one["acknowledged_by"] or "nobody has acknowledged it"
    paged = ", ".join(one["paged"]) or "nobody yet"
    found += [*wrapped("paged         ", paged), *wrapped("on it         ", who), ""]
    if one["left_out"]:
        found.append(f"{one['left_out']} lines in the middle are left out here; they are in binome journal.")
    for moment in one["moments"]:
        found += wrapped(f"{moment['at']:<13} {moment['kind']:<8} ", moment["said"])
    return found


def note(
    number: Number,
    text: Annotated[str, typer.Argument(help="One line for the log book.")],
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Write a line into the log book of an incident."""
    granted(door, "note-asked", as_json=as_json, incident=number, text=text, who=getpass.getuser())
    if not as_json:
        print(f"Noted in incident {number}.")


def ack(
    number: Annotated[int | None, typer.Argument(help="The incident's number; without it, every page.")] = None,
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Say that you are on it: nobody else is paged about it. Works without a leader, for what this lookout paged."""
    who = getpass.getuser()
    here = said(door, {"do": "acknowledge", "incident": number, "who": who})["acknowledged"]
    if number is not None:
        granted(door, "acknowledge-asked", as_json=as_json, incident=number, who=who)
    elif as_json:
        print_json({"acknowledged": here})
    if not as_json:
        print(f"You are on it; {here} page{'' if here == 1 else 's'} asked here.")


def silence(
    subject: Annotated[str, typer.Argument(help="A server, service, site, domain, hoster or product of the estate.")],
    for_: For,
    why: Annotated[str, typer.Option(help="Why, in one line: your colleagues read it.")],
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Page nobody about a subject for a while. Looking, incidents and takeovers go on."""
    until_ms = _now_ms() + _duration_ms(for_)
    who = getpass.getuser()
    granted(door, "silence-asked", as_json=as_json, subject=subject, until_ms=until_ms, why=why, who=who)
    if not as_json:
        show(f"Nobody is paged about {subject} until {_local(until_ms)}.")


def resolve(
    number: Number,
    why: Annotated[str, typer.Option(help="Why, in one line.")] = "seen to",
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Say that an incident is over. It is opened anew where its cause turns out to be something else."""
    granted(door, "resolve-asked", as_json=as_json, incident=number, why=why, who=getpass.getuser())
    if not as_json:
        print(f"Incident {number} is resolved.")


def override(
    person: Annotated[str, typer.Argument(help="A contact of the estate.")],
    for_: For,
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Be on call out of turn, from now on for a while; whose turn it is, is asked next."""
    from_ms = _now_ms()
    until_ms = from_ms + _duration_ms(for_)
    who = getpass.getuser()
    granted(door, "override-asked", as_json=as_json, person=person, from_ms=from_ms, until_ms=until_ms, who=who)
    if not as_json:
        show(f"{person} is on call until {_local(until_ms)}.")


def affected(
    product: Annotated[str, typer.Argument(help="A product of the estate.")],
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Say whether a product can be used, since when not, and why.

    Ends with 0 where it can, 1 where it cannot, 4 where nobody knows.
    """
    answer = said(door, {"do": "affected", "product": product})
    one = answer["product"]
    if one is None:
        known = ", ".join(answer["known"]) or "none"
        fail(f"binome: the estate has no product {printable(product)}.  It has: {known}.", Exit.BAD_INPUT)
    if as_json:
        print_json(one)
    else:
        for line in lines_of_product(one):
            print(line)
    if one["usable"] is not True:
        raise typer.Exit(Exit.UNKNOWN if one["usable"] is None else Exit.BAD_ANSWER)


def lines_of_product(one: dict[str, Any]) -> list[str]:
    """The answer about a product, in lines of at most 100 characters."""
    numbers = ", ".join(map(str, one["incidents"]))
    see = f"   incident {numbers}" if numbers else ""
    doubt = "" if one["confirmed"] else " (unconfirmed: too few vantage points)"
    if one["usable"] is False:
        told = f"cannot be used since {one['since']}: {', '.join(one['services'])}{doubt}{see}"
    elif one["usable"] is None:
        told = f"nobody knows: {', '.join(one['unsure'])} could not be looked at everywhere{see}"
    else:
        told = f"can be used{see}"
    found = wrapped(f"{one['product']:<14}", told)
    if one["taking_over"]:
        found += wrapped("", f"A takeover of {', '.join(one['taking_over'])} is under way.")
    for decision in one["decisions"]:
        found += wrapped(f"{decision['service']:<14}", decision["said"])
    found.append(f"In the last 24 hours it could not be used for {duration(one['last_day']['unavailable_ms'])}.")
    return found


def page(
    person: Annotated[str, typer.Argument(help="A contact of the estate; without it, everybody.")] = "",
    test: Annotated[bool, typer.Option("--test", help="Send a test by every route.")] = False,
    via: Annotated[str, typer.Option(help="Only by this sender.")] = "",
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Prove that people can be paged: each route gets a message, and counts as proven once its link was used."""
    if not test:
        fail("binome: people are paged by what happens.  Prove the routes: binome page --test", Exit.BAD_INPUT)
    request = f"{_now_ms()}-{secrets.token_hex(4)}"
    routes = said(door, {"do": "page-test", "request": request, "person": person, "via": via})["routes"]
    if as_json:
        print_json({"request": request, "routes": routes})
    else:
        for route in routes:
            show(f"{route['person']:<14} {route['via']:<14} {route['page']}")
        print("Use the link in each message: that proves its route." if routes else "No route is like that.")
    if not routes:
        raise typer.Exit(Exit.BAD_ANSWER)


def duration(ms: int) -> str:
    """A duration as people say it: `42 s`, `4 min`, `3 h 20 min`, `2 d 4 h`."""
    seconds = round(ms / 1000)
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def _duration_ms(text: str) -> int:
    try:
        return TypeAdapter(Milliseconds).validate_python(text)
    except ValidationError:
        fail(f"binome: --for {text}: expected a duration such as 30m, 2h or 1d; nothing was done.", Exit.BAD_INPUT)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _local(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M %Z}"
