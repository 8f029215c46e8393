"""Findings: what the rules have to say about an estate.

A rule is a module of the folder `rules/`; its file name is its id, with `_` for `-`. It has one function,

    def findings(context: Context) -> Iterator[Found]

and its module docstring says what it decides and why it matters. `docs/rules/<id>.md` is its page. A rule that
judges what a product promises says `JUDGES_PROMISES = True`: it runs after the others, and knows which losses the team
has accepted. `SUBJECTS` are the sections that its subjects come from (`services`; of a kind: `domains:registrar`): an
acceptance of anything else is reported.

Severities: an *error* is a promise that does not hold, or redundancy or data that one loss destroys; a *warning* a weak
spot that no promise covers; *info* a wish.

`accept` takes a finding by rule and subject until its day is over; then it is back. What is accepted is shown, never
hidden, and never counts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from binome.analysis import rules
from binome.analysis.edit import Remedy
from binome.analysis.outcome import Platform
from binome.analysis.survey import Survey
from binome.analysis.waived import Waived, waived
from binome.estate import Place
from binome.estate.model import Accepted


class Severity(IntEnum):
    """How much a finding matters; worst last."""

    INFO = 0
    WARNING = 1
    ERROR = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule found: about what, where (the path of a key), why it matters, what to do.

    `explains` are the fault domains whose loss the finding is about, `about` the services and links that it hurts there
    (the subject, where there are none): who accepts it accepts what these losses do to them.
    """

    severity: Severity
    subject: str
    path: tuple[str | int, ...]
    message: str
    remedy: Remedy
    explains: tuple[str, ...] = ()
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding with its rule and its place; `accepted` while an entry of `accept` covers it."""

    rule: str
    found: Found
    place: Place
    accepted: Accepted | None = None

    @property
    def counts(self) -> bool:
        """Whether it is not accepted."""
        return self.accepted is None


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may look at. `today` is the day that `accept` is held against."""

    survey: Survey
    today: date
    subjects: Mapping[str, tuple[str, ...]]
    accepted_losses: frozenset[str] = field(default=frozenset())
    waived: Waived = field(default_factory=Waived)

    @property
    def platform(self) -> Platform:
        """The estate with its fault domains and figures."""
        return self.survey.platform


class Rule(NamedTuple):
    """A module of the folder `rules/`."""

    id: str
    findings: Callable[[Context], Iterator[Found]]
    judges_promises: bool
    subjects: tuple[str, ...]


@cache
def every_rule() -> tuple[Rule, ...]:
    """The rules, found by listing their folder."""
    modules = {
        one.name: importlib.import_module(f"{rules.__name__}.{one.name}")
        for one in pkgutil.iter_modules(rules.__path__)
    }
    return tuple(
        Rule(
            name.replace("_", "-"),
            module.findings,
            getattr(module, "JUDGES_PROMISES", False),
            getattr(module, "SUBJECTS", ()),
        )
        for name, module in sorted(modules.items())
        if not name.startswith("_")
    )


def judge(survey: Survey, today: date) -> list[Finding]:
    """Every finding, worst first; accepted ones last."""
    every = every_rule()
    context = Context(survey, today, {rule.id: rule.subjects for rule in every})
    facts = [
        _finding(context, rule, found) for rule in every if not rule.judges_promises for found in rule.findings(context)
    ]
    accepted = frozenset(name for finding in facts if finding.accepted for name in finding.found.explains)
    entries = ((one.found.about or (one.found.subject,), one.found.explains) for one in facts if one.accepted)
    context = Context(survey, today, context.subjects, accepted, waived(survey.platform, entries))
    promises = [
        _finding(context, rule, found) for rule in every if rule.judges_promises for found in rule.findings(context)
    ]
    return sorted(facts + promises, key=lambda finding: _order(survey, finding))


def _order(survey: Survey, finding: Finding) -> tuple[bool, int, int, Place, str, str]:
    """Worst first: by severity, by the worst outcome of the losses that it explains, then as the file goes."""
    found = finding.found
    worst = max((survey.outcome_of(name) for name in found.explains), default=0)
    return not finding.counts, -found.severity, -worst, finding.place, finding.rule, found.subject


def _finding(context: Context, rule: Rule, found: Found) -> Finding:
    estate = context.platform.estate
    entries = [entry for entry in estate.accept if (entry.rule, entry.subject) == (rule.id, found.subject)]
    accepted = next((entry for entry in entries if context.today <= entry.until), None)
    if entries and accepted is None:
        ended = max(entry.until for entry in entries)
        found = replace(found, message=f"{found.message}  It was accepted until {ended}, which is over.")
    return Finding(rule.id, found, estate.place(*found.path), accepted)
