"""An `accept` of a rule that does not exist covers nothing, though somebody believes that it does."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity
from binome.estate.problem import did_you_mean


def findings(context: Context) -> Iterator[Found]:
    """One finding an entry."""
    for index, entry in enumerate(context.platform.estate.accept):
        if entry.rule not in context.rule_ids:
            remedy = did_you_mean(
                entry.rule, [frozenset(context.rule_ids)], "Remove the entry, or name a rule of docs/rules."
            )
            message = f"There is no rule {entry.rule}: nothing is accepted by it."
            yield Found(Severity.WARNING, entry.subject, ("accept", index, "rule"), message, Remedy(remedy))
