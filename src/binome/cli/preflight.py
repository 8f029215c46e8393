"""`binome preflight`: reality against the file, by one look of the probes at each thing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import TypeAdapter, ValidationError

from binome.cli.check_text import wrapped
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.journal_text import printable
from binome.cli.secret import SecretError, secret
from binome.core.preflight.asked import Credentials, asked, not_asked
from binome.core.preflight.check import Check, Seen, Sight, State
from binome.core.preflight.judge import judge
from binome.core.target import Target, named_addresses
from binome.drivers.probe import load
from binome.estate import Estate
from binome.estate.problem import did_you_mean, shown
from binome.estate.scalars import Milliseconds
from binome.ports import Clock, Finding, Surroundings
from binome.runtime.clock import SystemClock
from binome.runtime.once import look_once

_INDENT = " " * 9


def preflight(
    file: Annotated[Path, typer.Argument(metavar="ESTATE", help="The estate file.")],
    servers: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVER]…", help="Only what stands on these; all unless given.")
    ] = None,
    *,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Who asks the databases.")] = None,
    password: Annotated[str, typer.Option(metavar="WHERE", help="Its password: env:NAME or file:PATH.")] = "",
    timeout: Annotated[str, typer.Option(help="How long each look may take.")] = "3s",
    within: Annotated[str, typer.Option(help="How long all of them together may take.")] = "30s",
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer, for other tools.")] = False,
) -> None:
    """Hold reality against the file, once, from here. It changes nothing.

    Ends with 1 where something is otherwise than the file says, with 4 where nothing is, and something is unknown.
    """
    timeout_ms, within_ms = _duration_ms("--timeout", timeout), _duration_ms("--within", within)
    estate = read_estate(file, as_json=as_json)
    chosen = frozenset(_known(servers or (), estate))
    targets = asked(estate, chosen, _credentials(user, password), timeout_ms)
    clock = SystemClock()
    began_s = clock.monotonic_s()
    findings, problems = asyncio.run(_look(estate, targets, clock, within_ms / 1000))
    if problems and all(finding.said.startswith("no probe of kind") for finding in findings.values()):
        fail("binome: nothing could be asked.\n" + "\n".join(problems), Exit.ENVIRONMENT)
    took_s = clock.monotonic_s() - began_s
    seen = {name: Seen(one.answer, one.said, one.details) for name, one in findings.items()}
    sight = Sight(estate, targets, seen)
    checks = judge(sight)
    answer = _Answer(estate, file, checks, not_asked(sight, chosen), problems, len(targets), took_s)
    if as_json:
        print_json(_record(answer))
    else:
        print("\n".join(_report(answer)))
    states = {check.state for check in checks}
    if State.BAD in states:
        raise typer.Exit(Exit.BAD_ANSWER)
    if State.UNKNOWN in states or not checks:
        raise typer.Exit(Exit.UNKNOWN)


class _NoBeats:
    """Nobody beats here: heartbeats are not asked."""

    since_s = 0.0

    def last_s(self, job: str) -> float | None:
        """None."""
        return None


async def _look(
    estate: Estate, targets: Sequence[Target], clock: Clock, within_s: float
) -> tuple[Mapping[str, Finding], Sequence[str]]:
    """What was found, and which probes could not be used and why."""
    loaded = load(targets, Surroundings(clock, named_addresses(estate), _secret, _NoBeats()))
    return await look_once(targets, loaded.probes, within_s), loaded.problems


def _secret(where: str) -> str:
    try:
        return secret(where)
    except SecretError as error:
        raise OSError(str(error)) from error


def _credentials(user: str | None, password: str) -> Credentials | None:
    if user is None and password:
        fail("--password is for --user, which is not given; nothing was asked.", Exit.BAD_INPUT)
    if password:
        try:
            secret(password)
        except SecretError as error:
            fail(f"--password: {error}; nothing was asked.", Exit.BAD_INPUT)
    return Credentials(user, password) if user else None


def _duration_ms(option: str, words: str) -> int:
    try:
        found_ms = TypeAdapter(Milliseconds).validate_python(words)
    except ValidationError:
        found_ms = 0
    if not found_ms:
        fail(
            f"{option} {shown(words)}: expected a duration such as 800ms, 3s or 1m; nothing was asked.", Exit.BAD_INPUT
        )
    return found_ms


def _known(servers: Sequence[str], estate: Estate) -> Sequence[str]:
    """The servers, all of which the file must have; every unknown one ends the command, with the nearest known one."""
    unknown = [name for name in servers if name not in estate.servers]
    for name in unknown:
        remedy = did_you_mean(name, [frozenset(estate.servers)], f"Name one of {', '.join([*estate.servers][:8])}.")
        typer.echo(f"{shown(name)}: there is no such server.  {remedy}", err=True)
    if unknown:
        raise typer.Exit(Exit.BAD_INPUT)
    return servers


class _Answer(NamedTuple):
    """All that is shown."""

    estate: Estate
    file: Path
    checks: Sequence[Check]
    not_asked: Sequence[str]
    problems: Sequence[str]
    targets: int
    took_s: float


def _record(answer: _Answer) -> dict[str, Any]:
    """What --json prints."""
    counts = Counter(check.state for check in answer.checks)
    return {
        "estate": answer.estate.estate,
        "took_s": round(answer.took_s, 3),
        "counts": {str(state): counts[state] for state in State},
        "checks": [
            {
                "check": str(check.name),
                "subject": check.subject,
                "state": str(check.state),
                "expected": check.expected,
                "found": check.found,
                "remedy": check.remedy,
                "line": answer.estate.place(*check.path).line if check.path else None,
            }
            for check in answer.checks
        ],
        "not_asked": list(answer.not_asked),
        "problems": list(answer.problems),
    }


def _report(answer: _Answer) -> Iterator[str]:
    yield f"{answer.estate.estate}   {answer.targets} targets asked from here in {answer.took_s:.1f} s"
    alike: dict[tuple[str, ...], list[Check]] = {}
    for check in answer.checks:
        if check.state is not State.GOOD:
            alike.setdefault((check.state, check.name, check.found, check.remedy), []).append(check)
    for checks in alike.values():
        yield ""
        yield from _lines(checks, answer)
    good = Counter(check.name for check in answer.checks if check.state is State.GOOD)
    if good:
        yield ""
        yield wrapped(f"good     {', '.join(f'{name} {count}' for name, count in good.items())}", _INDENT, "")
    for words in answer.problems:
        yield ""
        yield wrapped(f"problem  {printable(words)}", _INDENT, "")
    if answer.not_asked:
        yield ""
        yield "Not asked:"
        yield from (wrapped(words, "    ", "  ") for words in answer.not_asked)
    counts = Counter(check.state for check in answer.checks)
    yield ""
    yield f"{counts[State.BAD]} bad, {counts[State.UNKNOWN]} unknown, {counts[State.GOOD]} good."


def _lines(checks: Sequence[Check], answer: _Answer) -> Iterator[str]:
    """Checks that came out alike and not good: about what, found, expected, what to do."""
    first = checks[0]
    place = answer.estate.place(*first.path) if first.path else None
    where = f", {answer.file.name}:{place.line}:{place.column}" if place else ""
    subjects = ", ".join(printable(check.subject) for check in checks)
    yield wrapped(f"{first.state:<8} {first.name:<21} {subjects}{where}", " " * 31, "")
    yield wrapped(f"found     {printable(first.found)}", _INDENT + " " * 10, _INDENT)
    expected = printable(first.expected) + (", and so on" if len({one.expected for one in checks}) > 1 else "")
    yield wrapped(f"expected  {expected}", _INDENT + " " * 10, _INDENT)
    yield wrapped(f"→ {first.remedy}", _INDENT + "  ", _INDENT)
