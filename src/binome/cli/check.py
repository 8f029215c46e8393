"""`binome check`: which loss takes which product down, and the line to change."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from binome.analysis.answer import as_json as answer
from binome.analysis.explain import listed
from binome.analysis.findings import Finding, Severity, judge
from binome.analysis.losses import Loss
from binome.analysis.outcome import UNTOUCHED, Detail, Evaluation, Outcome, Platform, details
from binome.analysis.survey import survey
from binome.analysis.times import Measured, MeasuredError
from binome.cli import check_text
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.estate import MAX_BYTES, Estate
from binome.estate.problem import did_you_mean
from binome.shown import shown


def check(
    file: Annotated[Path, typer.Argument(metavar="ESTATE", help="The estate file.")],
    lose: Annotated[str | None, typer.Option(metavar="NAME,…", help="Explain one loss of these fault domains.")] = None,
    measured: Annotated[Path | None, typer.Option(metavar="FILE", help="Measured times (JSON).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer, for other tools.")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="SEVERITY",
            help="error (the default), warning or info. Not with --lose: it fails if a product stops.",
        ),
    ] = None,
) -> None:
    """Try every loss of one or two fault domains: what stops, why, and the line to change."""
    least = _severity(fail_on, lose)
    estate = read_estate(file, as_json=as_json)
    platform = Platform(estate, _measured(measured, estate, as_json=as_json))
    if lose is not None:
        _explain(platform, _names(lose, platform), file, as_json=as_json)
        return
    found = survey(platform)
    findings = judge(found, _today())
    if as_json:
        sys.stdout.writelines(answer(found, findings))
    else:
        print(check_text.report(found, findings, str(file)))
    if _bad(findings, least):
        raise typer.Exit(Exit.BAD_ANSWER)


def _severity(fail_on: str | None, lose: str | None) -> Severity:
    if fail_on is None:
        return Severity.ERROR
    if fail_on.upper() not in Severity.__members__:
        remedy = did_you_mean(fail_on, [frozenset(map(str, Severity))], "Use error, warning or info.")
        fail(f"--fail-on {shown(fail_on)}: there is no such severity.  {remedy}", Exit.BAD_INPUT)
    if lose is not None:
        fail(
            "--fail-on is about findings, and --lose lists none: it fails where a product does not go on.  "
            "Leave one of the two out.",
            Exit.BAD_INPUT,
        )
    return Severity[fail_on.upper()]


def _today() -> date:
    return date.today()


def _bad(findings: list[Finding], least: Severity) -> bool:
    return any(finding.counts and finding.found.severity >= least for finding in findings)


def _explain(platform: Platform, loss: Loss, file: Path, *, as_json: bool) -> None:
    evaluation = Evaluation(platform, [loss])
    outcomes: dict[str, Detail] = {}
    for product in platform.products:
        outcomes[product] = details(evaluation, product).get(0, UNTOUCHED)
    if as_json:
        found = survey(platform)
        sys.stdout.writelines(answer(found, judge(found, _today()), loss))
    else:
        print(check_text.explanation(platform, loss, outcomes, str(file)))
    if any(detail.outcome > Outcome.DEGRADED for detail in outcomes.values()):
        raise typer.Exit(Exit.BAD_ANSWER)


def _names(lose: str, platform: Platform) -> Loss:
    """The fault domains that `--lose` names; every unknown name ends the command, with the nearest known one."""
    domains = platform.domains
    names = list(dict.fromkeys(name.strip() for name in lose.split(",") if name.strip()))
    unknown = [name for name in names if name not in domains.kinds]
    for name in unknown:
        typer.echo(f"--lose {shown(name)}: {_instead(name, platform)}", err=True)
    if unknown:
        raise typer.Exit(Exit.BAD_INPUT)
    if not names:
        fail("--lose names nothing.  Name a site, a domain or a server.", Exit.BAD_INPUT)
    return tuple(names)


def _instead(name: str, platform: Platform) -> str:
    """What to lose instead of something that is no fault domain."""
    estate, domains = platform.estate, platform.domains
    named = {"a link": estate.links, "a service": estate.services, "a product": estate.products}
    what = next((what for what, section in named.items() if name in section), None)
    if what is not None:
        by = _carriers(name, platform)
        said = f"  It is carried by {listed(by)}: --lose {by[0]}." if by else "  Nothing carries it."
        return f"it is {what}, and what can be lost is a fault domain.{said}"
    known = [*domains.above_servers, *domains.servers]
    some = f"Name one of {', '.join(known[:8])}{', …' if len(known) > 8 else ''}."
    return f"there is no such fault domain.  {did_you_mean(name, [frozenset(known)], some)}"


def _carriers(name: str, platform: Platform) -> list[str]:
    """The providers of a link, the servers of a service; of a product those of all that it needs."""
    links, services = platform.estate.links, platform.estate.services
    parts = platform.chains(name) if name in platform.estate.products else [name]
    found = [one for part in parts for one in (links[part].providers if part in links else services[part].on)]
    return list(dict.fromkeys(found))


def _measured(path: Path | None, estate: Estate, *, as_json: bool) -> Measured:
    if path is None:
        return Measured()
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)  # one more than is accepted, as in read_estate
        if len(raw) > MAX_BYTES:
            raise MeasuredError([f"it is larger than {MAX_BYTES:,} bytes."])
        return Measured.read(raw, estate)
    except OSError as error:
        _refused(path, [f"{error.strerror}; nothing was done."], as_json=as_json)
    except MeasuredError as error:
        _refused(path, error.problems, as_json=as_json)


def _refused(path: Path, problems: list[str], *, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"errors": [{"file": str(path), "message": problem} for problem in problems]})
        raise typer.Exit(Exit.BAD_INPUT)
    fail("\n".join(f"{path}: {problem}" for problem in problems), Exit.BAD_INPUT)
