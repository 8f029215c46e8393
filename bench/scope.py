"""How long the causes of ten thousand simultaneous verdicts take, in an estate of ten thousand servers; and one look.

Scenes: a site with ten thousand targets is lost; two thousand servers are, one by one, everywhere; every member of a
large service is; a thousand hypervisors are. Each from the recorded verdicts to the facts of the scopes.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import goals

from binome.core.decide import decide
from binome.core.entry import Draft, seal
from binome.core.looking import Comparison
from binome.core.quorum import Tally
from binome.core.scoping import graphs
from binome.core.state import State
from binome.core.target import Answer, Observation, Target, targets
from binome.core.verdict import Judged, Judges, Verdict
from binome.estate import Estate
from binome.estate.whole import names_of

SERVERS = 10_000
SITES = 3
PER_HYPERVISOR = 10


def platform() -> Estate:
    """Ten thousand servers in three sites, on hypervisors in racks; two services for each, in groups of two."""
    sites = {f"site-{n}": {} for n in range(SITES)}
    domains: dict[str, Any] = {
        f"rack-{n}": {"kind": "rack", "in": [f"site-{n % SITES}"]} for n in range(SERVERS // PER_HYPERVISOR // 10)
    }
    racks = len(domains)
    for n in range(SERVERS // PER_HYPERVISOR):
        domains[f"hyper-{n}"] = {"kind": "hypervisor", "in": [f"rack-{n % racks}"]}
    servers = {
        f"s-{n}": {"in": [f"hyper-{n // PER_HYPERVISOR}"], "address": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"}
        for n in range(SERVERS)
    }
    half = SERVERS // 2
    services: dict[str, Any] = {
        f"web-{n}": {"kind": "http", "on": [f"s-{n}", f"s-{n + half}"], "port": 8000, "needs": ["store"]}
        for n in range(half)
    }
    services["store"] = {"kind": "http", "on": list(servers), "port": 9000}
    lookout = {"on": [f"s-{n * PER_HYPERVISOR}" for n in range(SITES)]}
    data = {"sites": sites, "domains": domains, "servers": servers, "services": services, "lookout": lookout}
    return Estate.model_validate(data, context=names_of(data))


def scene(estate: Estate, every: tuple[Target, ...], name: str, lost: Callable[[Target], bool]) -> None:
    """Plays one: everything is up, then what is lost is down, as two of three vantage points tell at once."""
    state, tally = State(), Tally(estate)
    comparison, known = Comparison(tally), frozenset(one.name for one in every)
    up, down = Judged(Verdict.UP, 0), Judged(Verdict.DOWN, 1, "no answer")

    def settle(now_ms: int) -> tuple[float, float, int]:
        spent_s = {"agree": 0.0, "scope": 0.0}
        longest_s, turns = 0.0, 0
        while True:
            begin_s = time.perf_counter()
            drafts: list[Draft] = comparison.drafts(state.looking, known, now_ms)
            agreed_s = time.perf_counter()
            decision = decide(estate, state, now_ms, generation=1) if not drafts else None
            scoped_s = time.perf_counter()
            spent_s["agree"] += agreed_s - begin_s
            spent_s["scope"] += scoped_s - agreed_s
            longest_s = max(longest_s, scoped_s - agreed_s)
            turns += 1
            record = drafts or (decision.record if decision else ())
            if not record:
                return spent_s["agree"], longest_s, turns
            for entry in seal(record, state.head, 1):
                state.apply(entry)

    for vantage in tally.vantages:
        tally.hear(vantage, {one.name: up for one in every})
    settle(10_000)
    gone = {one.name: down for one in every if lost(one)}
    for vantage in tally.vantages[1:]:
        tally.hear(vantage, gone)
    agree_s, first_s, turns = settle(20_000)
    later_s, scope_s, more = settle(22_000)
    longest_s = max(first_s, scope_s)
    print(
        f"{name}: {len(gone):,} verdicts, {len(state.scope.open):,} scopes, agreed in {agree_s + later_s:.2f} s, "
        f"longest decision {longest_s:.2f} s {goals.at_most(name, longest_s, 1)}, {turns + more} turns"
    )


def judging(every: tuple[Target, ...]) -> None:
    """How long one look takes to be judged."""
    judges = Judges(every, 0)
    looks = [[Observation(one.name, float(at), Answer.UP, "") for one in every] for at in range(1, 6)]
    begin_s = time.perf_counter()
    for look in looks:
        for observation in look:
            judges.observe(observation, 0)
    spent_s = time.perf_counter() - begin_s
    print(f"judging: {spent_s / len(looks) / len(every) * 1e6:.2f} µs a look, {len(every):,} targets")


def main() -> None:
    estate = platform()
    begin_s = time.perf_counter()
    every = targets(estate)
    graphs.of(estate)
    print(f"{SERVERS:,} servers, {len(every):,} targets; graph built in {time.perf_counter() - begin_s:.2f} s")
    judging(every)
    graph = graphs.of(estate)
    scene(estate, every, "a site", lambda one: graph.stands_in(one.server, "site-0"))
    scene(estate, every, "every fifth server", lambda one: int(one.server[2:]) % 5 == 1)
    scene(estate, every, "every member of one service", lambda one: one.service == "store")
    scene(estate, every, "every fourth hypervisor", lambda one: int(one.server[2:]) // PER_HYPERVISOR % 4 == 2)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    goals.end()


if __name__ == "__main__":
    main()
