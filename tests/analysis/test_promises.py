"""What a product promises, held against every loss as it was evaluated; and how it is said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pytest

from binome.analysis.edit import Remedy
from binome.analysis.findings import Finding, judge
from binome.analysis.outcome import UNTOUCHED, Cause, Detail, Evaluation, Outcome, Platform, details
from binome.analysis.survey import Survey, survey, together
from binome.analysis.times import Measured
from binome.estate import load

TODAY = date(2026, 11, 1)


@dataclass
class Case:
    """A small estate: a database in two sites, an agreement over three, a spare, a copy away; each part can differ."""

    sites: str = "{a: {}, b: {}, c: {}, d: {}, e: {}}"
    servers: str = "{x: {site: a}, y: {site: b}, z: {site: c}, s: {site: c}, v: {site: d}, w: {site: e}, x2: {site: a}}"
    agreement: str = "[x, y, z]"
    on: str = "[x, y]"
    database: str = "takeover: automatic"
    product: str = "objective: {rto: 1m}, survives: one"
    lookout: str = "lookout: {on: [x, y, z]}"
    backup: str = "proof: {every: 1d, on: w}"
    spares: str = "[s]"
    measured: bytes = b"{}"

    def platform(self) -> Platform:
        text = f"""
sites: {self.sites}
servers: {self.servers}
services:
  agree: {{kind: etcd, on: {self.agreement}}}
  db: {{kind: postgresql, on: {self.on}, needs: [agree], spares: {self.spares}, {self.database}}}
products: {{shop: {{needs: [db], {self.product}}}}}
people: {{response: 15m}}
vaults: {{away: {{kind: directory, on: v, path: /srv}}}}
data: {{rows: {{in: db, backup: [nightly]}}}}
backups: {{nightly: {{of: [rows], method: dump, every: 1d, to: [away], {self.backup}}}}}
{self.lookout}
"""
        estate = load(text.encode())
        return Platform(estate, Measured.read(self.measured, estate))

    def rules(self) -> dict[str, Finding]:
        return {one.rule: one for one in judge(survey(self.platform()), TODAY)}

    def lose(self, *loss: str, product: str = "shop") -> Detail:
        return details(Evaluation(self.platform(), [loss]), product).get(0, UNTOUCHED)


QUICK = "takeover: automatic, takeover_outage: 5s"
SOON = "objective: {rto: 10s}, survives: one"


def said(finding: Finding) -> str:
    remedy: Remedy = finding.found.remedy
    return f"{finding.found.message} {remedy}"


def test_the_small_estate_keeps_its_promises() -> None:
    assert set(Case().rules()) == set()
    assert set(Case(database=QUICK, product=SOON).rules()) == set()


@pytest.mark.parametrize(
    ("case", "loss"),
    [
        (Case(database=QUICK, product=SOON, lookout="lookout: {on: [x, y]}"), "Server x and server y"),
        (Case(database=QUICK, product=SOON, lookout=""), "Server x and server y"),
        (
            Case(
                database=QUICK,
                product=SOON,
                sites="{a: {region: r}, b: {}, c: {}, d: {region: r}, e: {}}",
                lookout="lookout: {on: [x, y, v]}",
            ),
            "Region r",
        ),
    ],
)
def test_a_takeover_that_nobody_hastens_breaks_a_short_rto(case: Case, loss: str) -> None:
    found = case.rules()
    assert f"{loss}: outage 25 s, and the RTO is 10 s" in found["objective-unreachable"].found.message
    assert "takes 25 s (default of postgresql)" in found["takeover-against-rto"].found.message
    assert "Look from three sites" in said(found["takeover-against-rto"])
    assert "Look from three sites" in said(found["objective-unreachable"])


def test_where_only_one_loss_slows_the_takeover_it_is_named() -> None:
    sites = "{a: {region: r}, b: {}, c: {}, d: {region: r}, e: {}}"
    found = Case(database=QUICK, product=SOON, sites=sites, lookout="lookout: {on: [x, y, v]}").rules()
    assert "when region r is lost" in found["takeover-against-rto"].found.message


@pytest.mark.parametrize(("lost", "outage_s"), [(["a"], 5.0), (["a", "d"], 5.0), (["a", "d", "e"], 25.0)])
def test_the_lookout_sites_agree_by_a_majority(lost: list[str], outage_s: float) -> None:
    case = Case(database=QUICK, lookout="lookout: {on: [x, y, z, v, w]}")
    assert case.lose(*lost).outage_s == outage_s


def test_two_of_three_lookout_sites_are_the_majority() -> None:
    case = Case(database=QUICK, lookout="lookout: {on: [v, w, y]}")
    assert [case.lose("a", "d").outage_s, case.lose("a", "d", "e").outage_s] == [5.0, 25.0]


def test_rto_and_rpo_are_held_against_pairs_where_two_are_to_be_survived() -> None:
    wide = Case(
        servers="{x: {site: a}, y: {site: b}, z: {site: c}, s: {site: c}, v: {site: d}, w: {site: e}, u: {site: e}}",
        agreement="[x, y, z, v, w]",
        database=QUICK,
        lookout="lookout: {on: [x, v, w]}",
        product="objective: {rto: 10s}, survives: two",
    )
    found = wide.rules()["objective-unreachable"].found.message
    assert found.startswith("Two losses at once break it.  ")
    assert "outage 25 s, and the RTO is 10 s" in found
    wide.product = "objective: {rto: 10s}, survives: one"
    assert "objective-unreachable" not in wide.rules()


def test_a_pair_that_only_takes_longer_is_worse() -> None:
    case = Case(agreement="[x, y, z, v, w]", database=QUICK, lookout="lookout: {on: [x, v, w]}")
    found = survey(case.platform())
    assert ("a", "d") in found.worse_pairs
    pairs = Evaluation(found.platform, [("a", "d"), ("b", "d")])
    worse = together(found, pairs)["shop"]
    assert (worse.levels, worse.longer, worse.costlier) == ((0, 0, 0, 0), 1, 0)


def test_a_pair_that_only_loses_more_is_worse() -> None:
    case = Case(
        on="[x, y, z]",
        agreement="[x, y, z, v, w]",
        database="takeover: manual, lag: 30s",
        lookout="",
        product="survives: none",
    )
    found = survey(case.platform())
    worse = together(found, Evaluation(found.platform, [("a", "b")]))["shop"]
    assert (worse.levels, worse.costlier) == ((0, 0, 0, 0), 1)
    assert ("a", "b") in found.worse_pairs


def test_survives_two_is_held_against_pairs() -> None:
    case = Case(product="survives: two")
    found = case.rules()["survives-broken"]
    assert found.found.message.startswith("It is to survive two and does not survive ")
    assert "site a with site b (restore)" in found.found.message
    case.product = "survives: one"
    assert "survives-broken" not in case.rules()


def test_the_data_lost_is_held_against_the_rpo() -> None:
    case = Case(database="takeover: automatic, replication: asynchronous, lag: 30s", product="objective: {rpo: 10s}")
    message = case.rules()["objective-unreachable"].found.message
    assert "loses 30 s of writes, and the RPO is 10 s" in message
    assert "outage" not in message.split("Server x")[1]
    case.product = "objective: {rpo: 2d}"
    assert "objective-unreachable" not in case.rules()


@pytest.mark.parametrize(
    ("on", "database", "lost", "loss_s"),
    [
        ("[x, y]", "replication: asynchronous, lag: 30s, need: 2", ["x"], 30.0),
        ("[x, y]", "replication: asynchronous, need: 2", ["x"], None),
        ("[x, y]", "need: 2, lag: 30s", ["x"], 0.0),
        ("[x, y, z]", "need: 2, lag: 30s", ["x", "y"], 30.0),
        ("[x, y, z]", "need: 2", ["x", "y"], None),
        ("[x, y, z]", "need: 3, lag: 30s", ["x"], 0.0),
    ],
)
def test_what_is_left_below_the_need_may_lack_writes(on: str, database: str, lost: list[str], loss_s: float) -> None:
    detail = Case(on=on, agreement="[z, v, w]", database=database).lose(*lost)
    assert detail.effects[0].cause is Cause.BELOW_NEED
    assert (detail.outcome, detail.loss_s) == (Outcome.MANUAL, loss_s)


@pytest.mark.parametrize("takeover", ["confirm", "shadow"])
def test_a_measured_takeover_stands_where_nobody_hastens_it(takeover: str) -> None:
    measured = b'{"services": {"db": {"takeover_s": 12}}}'
    assert Case(database=f"takeover: {takeover}", measured=measured).lose("a").outage_s == 12.0
    assert Case(database="takeover: automatic", lookout="", measured=measured).lose("a").outage_s == 12.0


def test_what_was_measured_of_a_hastened_takeover_says_nothing_of_another() -> None:
    case = Case(database="takeover: automatic", measured=b'{"services": {"db": {"takeover_s": 1}}}')
    case.agreement, case.lookout = "[x, y, z, v, w]", "lookout: {on: [x, v, w]}"
    assert [case.lose("a").outage_s, case.lose("a", "d").outage_s] == [1.0, 25.0]


RESTORE = "restore: 5m, proof: {every: 1d, on: w}"


def test_somebody_comes_before_a_declared_restore_and_a_measured_one_stands_alone() -> None:
    assert Case(backup=RESTORE, agreement="[z, v, w]").lose("a", "b").outage_s == 1_200.0
    measured = b'{"backups": {"nightly": {"restore_s": 300}}}'
    assert Case(backup=RESTORE, agreement="[z, v, w]", measured=measured).lose("a", "b").outage_s == 300.0


def test_without_a_server_to_restore_on_nobody_knows_how_long_it_takes() -> None:
    measured = b'{"backups": {"nightly": {"restore_s": 300}}}'
    for case in (Case(backup=RESTORE), Case(backup=RESTORE, measured=measured)):
        assert case.lose("a", "b", "s").outage_s is not None
        detail = case.lose("a", "b", "s", "w")
        assert (detail.outcome, detail.outage_s, detail.loss_s) == (Outcome.RESTORE, None, 172_800.0)


@pytest.mark.parametrize(
    ("service", "loss_s"),
    [
        ("kind: generic", None),
        ("kind: http", None),
        ("kind: generic, lag: 3s", 3.0),
        ("kind: http, lag: 0s", 0.0),
        ("kind: generic, takeover: manual", None),
        ("kind: generic, need: 2", None),
    ],
)
def test_of_other_services_that_hold_data_nothing_is_known(service: str, loss_s: float | None) -> None:
    estate = load(
        f"sites: {{a: {{}}, b: {{}}, c: {{}}}}\nservers: {{x: {{site: a}}, y: {{site: b}}, s: {{site: c}}}}\n"
        f"services: {{files: {{{service}, on: [x, y], spares: [s]}}}}\ndata: {{rows: {{in: files}}}}\n".encode()
    )
    found = survey(Platform(estate))
    assert details(found.singles, "files")[0].loss_s == loss_s
    assert (loss_s is None) == ("lag-unknown" in {one.rule for one in judge(found, TODAY)})
    assert bool(found.singles.hurt("files") & found.singles.losses.named("x")) == (
        loss_s != 0 or found.alone("files", "x") is not Outcome.UP
    )


def test_a_load_that_is_never_carried_is_its_own_finding_and_blames_no_other_loss() -> None:
    platform = Platform(
        load(
            b"sites: {a: {}, b: {}, c: {}, d: {}}\n"
            b"servers: {x: {site: a}, y: {site: b}, s: {site: c}, q: {site: d}}\n"
            b"services: {web: {kind: http, on: [x, y], spares: [s], load: 900, capacity: 400}}\n"
        )
    )
    found: Survey = survey(platform)
    assert [found.alone("web", one) for one in "abcd"] == [Outcome.DEGRADED] * 2 + [Outcome.UP] * 2
    finding = next(one for one in judge(found, TODAY) if one.rule == "capacity-short")
    assert (str(finding.found.severity), finding.found.message) == (
        "error",
        "With nothing lost its 2 members carry 800 of 900 at peak.",
    )


def test_a_single_member_that_never_carries_its_load_is_found_too() -> None:
    text = b"sites: {a: {}}\nservers: {x: {site: a}}\nservices: {web: {kind: http, on: x, load: 9, capacity: 4}}\n"
    found = {one.rule: one.found for one in judge(survey(Platform(load(text))), TODAY)}
    assert found["capacity-short"].message == "With nothing lost its only member carries 4 of 9 at peak."


def test_survives_broken_names_as_many_as_it_counts_and_the_edge_at_fault() -> None:
    trio = Case(on="[x, x2, y]", agreement="[z, v, w]")
    found = trio.rules()["survives-broken"].found
    assert "does not survive 1 loss: site a (manual)." in found.message
    assert "shop → db: x and x2 are lost, 2 of 3 members" in str(found.remedy)
    assert "on: [x, y, s]" in str(found.remedy)


def test_losses_that_are_not_named_are_counted() -> None:
    case = Case(on="[x]", agreement="[x]", database="takeover: automatic")
    found = case.rules()["survives-broken"].found.message
    assert "does not survive 1 loss: server x (restore), nor 1 that holds it." in found


def test_an_unknown_lag_is_a_finding_where_no_promise_is_broken_by_it() -> None:
    case = Case(database="takeover: automatic, replication: asynchronous")
    assert set(case.rules()) == {"lag-unknown"}
    case.database += ", lag: 5s"
    assert set(case.rules()) == set()


def test_the_only_member_of_an_agreement_is_said_so() -> None:
    found = Case(agreement="[z]").rules()["agreement-in-one-domain"].found.message
    assert found.startswith("Its only member must live: ")


def test_the_edge_at_fault_is_what_breaks_the_objective_and_not_what_is_worse_besides() -> None:
    """Without its spare each loss leaves the database alone: `degraded`, at once. It is the takeover that is late."""
    case = Case(database=QUICK, product=SOON, lookout="lookout: {on: [x, y]}", agreement="[z, v, w]")
    text = str(case.rules()["objective-unreachable"].found.remedy)
    assert "y takes over: outage 25 s (default of postgresql), too few lookout sites to hasten it" in text
    case.spares = "[]"
    assert str(case.rules()["objective-unreachable"].found.remedy) == text


def test_the_remedy_of_a_takeover_that_waits_for_a_person_is_the_line() -> None:
    case = Case(database="takeover: manual", product="survives: one")
    assert "takeover: automatic" in str(case.rules()["survives-broken"].found.remedy)
