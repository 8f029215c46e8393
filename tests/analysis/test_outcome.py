"""The evaluation of all losses at once against the oracle, and the cases that an engineer would ask about."""

from __future__ import annotations

from itertools import combinations
from math import inf
from operator import gt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binome.analysis.losses import Losses, at_least, bits, bitset, counted, pairs, singles
from binome.analysis.outcome import UNTOUCHED, Detail, Evaluation, Outcome, Platform, details, outcome_at
from binome.analysis.survey import survey
from binome.analysis.times import Measured
from binome.estate import Estate, load
from tests.analysis.estates import estates
from tests.analysis.oracle import WORST, Oracle


@settings(deadline=None)
@given(estates())
def test_every_single_and_every_pair_is_what_the_oracle_says(estate: Estate) -> None:
    platform = Platform(estate)
    losses = [*singles(platform.domains), *(pair for portion in pairs(platform.domains) for pair in portion)]
    evaluation = Evaluation(platform, losses)
    for product in platform.products:
        levels, found = evaluation.levels(product), details(evaluation, product)
        for position, loss in enumerate(losses):
            detail = found.get(position, UNTOUCHED)
            got = str(detail.outcome), detail.outage_s, detail.loss_s
            assert got == Oracle(estate, loss).product(product), (product, loss)
            assert outcome_at(levels, position) == detail.outcome


@settings(deadline=None)
@given(estates(), st.integers(1, 7))
def test_the_survey_lists_a_pair_just_where_it_is_worse_for_a_product(estate: Estate, at_once: int) -> None:
    platform = Platform(estate)
    found = survey(platform, at_once)

    def outcome(product: str, *loss: str) -> int:
        return WORST.index(Oracle(estate, loss).product(product)[0])

    def worse(product: str, one: str, other: str) -> bool:
        return any(map(gt, grades(product, one, other), map(max, grades(product, one), grades(product, other))))

    def grades(product: str, *loss: str) -> list[float]:
        verdict, *times = Oracle(estate, loss).product(product)
        return [WORST.index(verdict), *(inf if time is None else time for time in times)]

    above = platform.domains.above_servers
    expected = [
        (one, other)
        for one, other in combinations(above, 2)
        if any(worse(product, one, other) for product in platform.products)
    ]
    assert sorted(found.worse_pairs) == sorted(expected)
    assert found.pairs_tried == len(above) * (len(above) - 1) // 2
    for product in platform.products:
        assert found.one[product].outcome == max(outcome(product, name) for name in platform.domains.kinds)
        if len(above) > 1:
            assert found.two[product].outcome == max(outcome(product, *pair) for pair in combinations(above, 2))


@given(st.lists(st.integers(0, 255), max_size=12), st.integers(0, 14))
def test_the_bit_sliced_counter_counts(sets: list[int], least: int) -> None:
    reached = at_least(counted(sets), least, 255)
    for position in range(8):
        assert (reached >> position & 1) == (sum(one >> position & 1 for one in sets) >= least)


@given(st.sets(st.integers(0, 300)))
def test_bits_and_bitset_are_each_others_inverse(positions: set[int]) -> None:
    assert list(bits(bitset(sorted(positions)))) == sorted(positions)


PAIR = """
sites: {{gra: {{}}, sbg: {{}}, par: {{}}}}
servers: {{g: {{site: gra}}, s: {{site: sbg}}, p: {{site: par}}, q: {{site: par}}}}
services:
  agree: {{kind: etcd, on: [g, s, p]}}
  db: {{kind: postgresql, on: [{on}], needs: [agree], spares: [q], {options}}}
products: {{shop: {{needs: [db]}}}}
people: {{response: 15m}}
lookout: {{on: [g, s, p]}}
"""


def lose(estate: Estate, *loss: str, measured: Measured | None = None) -> Detail:
    product = next(iter(estate.products or estate.services))
    return details(Evaluation(Platform(estate, measured), [loss]), product).get(0, UNTOUCHED)


def pair(options: str, on: str = "g, s") -> Estate:
    return load(PAIR.format(on=on, options=options).encode())


@pytest.mark.parametrize(
    ("options", "loss", "outcome", "outage_s", "loss_s"),
    [
        ("takeover: automatic", ["sbg"], Outcome.UP, 4.5, 0.0),
        ("takeover: automatic, act_after: 350ms", ["sbg"], Outcome.UP, 2.85, 0.0),
        ("takeover: automatic, act_after: 30s", ["sbg"], Outcome.UP, 25.0, 0.0),
        ("takeover: automatic, replication: asynchronous, takeover_outage: 1s", ["sbg"], Outcome.UP, 25.0, None),
        ("takeover: confirm", ["sbg"], Outcome.UP, 25.0, 0.0),
        ("takeover: shadow", ["sbg"], Outcome.UP, 25.0, 0.0),
        ("takeover: manual", ["gra"], Outcome.MANUAL, 900.0, 0.0),
        ("takeover: manual", ["sbg"], Outcome.UP, 4.0, 0.0),  # Patroni lets the first alone lead
        ("takeover: manual, replication: asynchronous", ["sbg"], Outcome.UP, 0.0, 0.0),
        ("takeover: manual", ["sbg", "par"], Outcome.MANUAL, 900.0, 0.0),
        ("takeover: automatic, takeover_outage: 1s", ["sbg"], Outcome.UP, 1.0, 0.0),
        ("takeover: confirm, takeover_outage: 1s", ["sbg"], Outcome.UP, 25.0, 0.0),
        ("takeover: confirm, takeover_outage: 40s", ["sbg"], Outcome.UP, 40.0, 0.0),
        ("takeover: automatic, replication: asynchronous", ["sbg"], Outcome.UP, 25.0, None),
        ("takeover: automatic, replication: asynchronous, lag: 5s", ["sbg"], Outcome.UP, 25.0, 5.0),
        ("takeover: automatic", ["par"], Outcome.UP, 0.0, 0.0),
        ("takeover: automatic", ["sbg", "par"], Outcome.MANUAL, 900.0, 0.0),
        ("takeover: automatic", ["gra", "sbg"], Outcome.GONE, None, None),
    ],
)
def test_a_database_pair(options: str, loss: list[str], outcome: Outcome, outage_s: float, loss_s: float) -> None:
    detail = lose(pair(options), *loss)
    assert (detail.outcome, detail.outage_s, detail.loss_s) == (outcome, outage_s, loss_s)


def test_the_third_member_need_not_have_the_last_writes() -> None:
    detail = lose(pair("takeover: automatic", on="g, s, q"), "g", "s")
    assert (detail.outcome, detail.loss_s) == (Outcome.MANUAL, None)


def test_a_fast_takeover_needs_a_majority_of_the_lookout_sites() -> None:
    text = PAIR.format(on="g, s", options="takeover: automatic, takeover_outage: 1s")
    assert lose(load(text.encode()), "gra").outage_s == 1.0
    assert lose(load(text.replace("{on: [g, s, p]}\n", "{on: [g, q, p]}\n").encode()), "gra").outage_s == 25.0


def test_measured_goes_before_declared() -> None:
    estate = pair("takeover: automatic, takeover_outage: 9s")
    measured = Measured.read(b'{"services": {"db": {"takeover_s": 1.07}}}', estate)
    assert lose(estate, "gra", measured=measured).outage_s == 1.07


def test_a_region_of_two_hosters_is_one_and_may_share_its_name_with_a_site() -> None:
    estate = load(
        b"hosters: {a: {}, b: {}}\nsites: {par: {hoster: a, region: par}, par-2: {hoster: b, region: par}}\n"
        b"servers: {x: {site: par}, y: {site: par-2}}\nservices: {web: {kind: http, on: [x, y]}}\n"
    )
    assert lose(estate, "par").outcome is Outcome.DEGRADED
    assert lose(estate, "region:par").outcome is Outcome.GONE


def test_an_estate_of_nothing_is_answered() -> None:
    found = survey(Platform(load(b"sites: {a: {}}\n")))
    assert (found.tried, found.worse_pairs) == (1, [])


def test_a_chain_of_needs_that_is_longer_than_the_stack() -> None:
    services = "\n".join(f"  s{n}: {{kind: http, on: x, needs: [{f's{n - 1}' if n else ''}]}}" for n in range(2_000))
    estate = load(f"sites: {{a: {{}}}}\nservers: {{x: {{site: a}}}}\nservices:\n{services}\n".encode())
    assert Evaluation(Platform(estate), [("a",)]).levels("s1999") == (1, 1, 1, 1)


def test_losses_know_what_falls_with_what() -> None:
    platform = Platform(pair("takeover: automatic"))
    losses = Losses(platform.domains, [("gra",), ("s",), ("gra", "par")])
    assert [list(bits(losses.of(name))) for name in ("g", "s", "p")] == [[0, 2], [1], [2]]


def test_two_lookout_sites_are_too_few_to_hasten_a_takeover() -> None:
    text = PAIR.format(on="g, s", options="takeover: automatic, takeover_outage: 1s")
    assert lose(load(text.replace("{on: [g, s, p]}\n", "{on: [s, p, q]}\n").encode()), "gra").outage_s == 25.0


def test_a_copy_without_its_key_is_none() -> None:
    text = PAIR.format(on="g, s", options="takeover: automatic") + (
        "vaults: {v: {kind: restic, on: p, path: /srv, key: 'env:KEY', key_on: [KEYS]}}\n"
        "data: {d: {in: db, backup: b}}\nbackups: {b: {of: d, method: dump, every: 1d, to: v}}\n"
    )
    assert lose(load(text.replace("KEYS", "g, q").encode()), "gra", "sbg").outcome is Outcome.RESTORE
    assert lose(load(text.replace("KEYS", "g, s").encode()), "gra", "sbg").outcome is Outcome.GONE


def test_capacity_is_counted_in_the_decimals_of_the_file() -> None:
    servers = [f"x{n}" for n in range(12)]
    estate = load(
        f"sites: {{a: {{}}}}\nservers: {{{', '.join(f'{one}: {{site: a}}' for one in servers)}}}\n"
        f"services: {{web: {{kind: http, on: [{', '.join(servers)}], load: 2.2, capacity: 0.2}}}}\n".encode()
    )
    assert lose(estate, "x0").outcome is Outcome.UP
    assert lose(estate, "x0", "x1").outcome is Outcome.DEGRADED
