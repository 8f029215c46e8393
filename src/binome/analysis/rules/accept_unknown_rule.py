"""An `accept` that can cover nothing, though somebody believes that it does: of a rule that does not exist, or of a
subject that its rule never speaks of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity
from binome.estate import Estate
from binome.estate.problem import did_you_mean


def findings(context: Context) -> Iterator[Found]:
    """One finding an entry."""
    estate = context.platform.estate
    for index, entry in enumerate(estate.accept):
        if entry.rule not in context.subjects:
            remedy = did_you_mean(
                entry.rule, [frozenset(context.subjects)], "Remove the entry, or name a rule of docs/rules."
            )
            message = f"There is no rule {entry.rule}: nothing is accepted by it."
            yield Found(Severity.WARNING, entry.subject, ("accept", index, "rule"), message, Remedy(remedy))
            continue
        sections = context.subjects[entry.rule]
        if sections and not any(entry.subject in _names(estate, section) for section in sections):
            what = " or ".join(_noun(section) for section in sections)
            message = f"{entry.rule} is about {what}, and {entry.subject} is none: nothing is accepted by it."
            known = [frozenset(_names(estate, section)) for section in sections]
            remedy = did_you_mean(entry.subject, known, f"Remove the entry, or name {what}.")
            yield Found(Severity.WARNING, entry.subject, ("accept", index, "subject"), message, Remedy(remedy))


def _names(estate: Estate, section: str) -> Collection[str]:
    section, _, kind = section.partition(":")
    if kind:
        return [name for name, domain in estate.domains.items() if domain.kind == kind]
    if section in ("lookout", "people"):
        return [section]
    return list(estate.people.senders if section == "senders" else getattr(estate, section))


def _noun(section: str) -> str:
    section, _, kind = section.partition(":")
    noun = kind or (section if section in ("data", "people", "lookout") else section.removesuffix("s"))
    return noun if noun in ("data", "people") else f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
