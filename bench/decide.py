"""How long it takes to fold a fact and to decide, with ten thousand subjects held and ten changes pending."""

from __future__ import annotations

import resource
import time
from itertools import count
from pathlib import Path

from binome.core.decide import decide
from binome.core.entry import EMPTY, Draft, Entry, Fact, Head, seal
from binome.core.maintenance import MaintenanceAsked
from binome.core.plan import PlanMade, Priority, Step, StepEnded
from binome.core.state import State
from binome.estate import load

LITTORAL = load((Path(__file__).parents[1] / "examples" / "littoral" / "estate.yaml").read_bytes())
SUBJECTS = 10_000
CHANGES = 10
FOLDED = 1_000_000
FAR_MS = 10**12
_numbers = count()


def drafts(*facts: Fact) -> list[Draft]:
    return [Draft(f"bench/{next(_numbers)}", 0, "bench", fact) for fact in facts]


def held(number: int) -> PlanMade:
    steps = (Step("maintenance.hold", undo="maintenance.release"), Step("maintenance.release", not_before_ms=FAR_MS))
    return PlanMade(f"plan-{number}", "maintenance", f"subject-{number}", Priority.MAINTENANCE, steps)


def fold(state: State, entries: list[Entry]) -> float:
    begin_s = time.perf_counter()
    for entry in entries:
        state.apply(entry)
    return time.perf_counter() - begin_s


def main() -> None:
    state, head = State(), EMPTY
    facts: list[Fact] = []
    for number in range(SUBJECTS):
        facts += [held(number), StepEnded(f"plan-{number}", 0, False, "done")]
    head = folded(state, head, facts, "two facts for each of ten thousand subjects")
    decisions = []
    for turn in range(200):
        changes = [MaintenanceAsked(f"{turn}-{n}", f"unknown-{n}", 1, "bench", "bench") for n in range(CHANGES)]
        entries = seal(drafts(*changes), head, 1)
        head = entries[-1].head
        fold(state, entries)
        begin_s = time.perf_counter()
        decision = decide(LITTORAL, state, turn, generation=1)
        decisions.append(time.perf_counter() - begin_s)
        answers = seal(decision.record, head, 1)
        head = answers[-1].head
        fold(state, answers)
    decisions.sort()
    print(
        f"decide, {SUBJECTS:,} subjects held, {CHANGES} changes pending: "
        f"median {decisions[100] * 1000:.3f} ms, p99 {decisions[198] * 1000:.3f} ms (bound: 5 ms)"
    )
    head = folded(state, head, [StepEnded("plan-1", 7, False, "done")] * FOLDED, "facts that change nothing")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def folded(state: State, head: Head, facts: list[Fact], what: str) -> Head:
    """Seals and folds facts in pieces; prints how many a second were folded."""
    spent_s = 0.0
    for begin in range(0, len(facts), 10_000):
        entries = seal(drafts(*facts[begin : begin + 10_000]), head, 1)
        head = entries[-1].head
        spent_s += fold(state, entries)
    print(f"fold, {len(facts):,} entries ({what}): {len(facts) / spent_s:,.0f} a second, {spent_s:.2f} s in all")
    return head


if __name__ == "__main__":
    main()
