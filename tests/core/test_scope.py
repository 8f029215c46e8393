"""One cause, one identity: opened, corrected, joined and ended; and said in a sentence that shows what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binome.core import scoping
from binome.core.causes import Kind
from binome.core.decide import decide as decide_all
from binome.core.entry import Draft, Fact, seal
from binome.core.evidence import scope_sentence, sentence
from binome.core.graph import Graph
from binome.core.looking import LookoutsHeard, VerdictsAgreed
from binome.core.quorum import Agreed
from binome.core.scope import Cause, Confidence, Ended, Manner, ScopeChanged, ScopeEnded, ScopeOpened, hides
from binome.core.scoping import graphs, provisional, settle_ms
from binome.core.sightlines import sighted
from binome.core.state import State
from binome.core.verdict import Judged, Verdict
from binome.estate import load

LITTORAL = load((Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_bytes())
GRAPH = Graph(LITTORAL)
UP, DOWN, UNSURE, FLAPPING = Verdict.UP, Verdict.DOWN, Verdict.UNSURE, Verdict.FLAPPING
SETTLED_MS = 1_250
BY = ("gra-edge", "par-watch")


def on(*subjects: str) -> list[str]:
    """The targets on servers and in places."""
    return [
        name
        for name, one in GRAPH.targets.items()
        if any(s == one.server or GRAPH.stands_in(one.server, s) for s in subjects)
    ]


def clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%H:%M:%S} UTC"


decide = partial(decide_all, deciders=(scoping.decide,))


class Night:
    """A journal, and the scopes that are decided on beside it."""

    def __init__(self) -> None:
        self.state = State()
        self.now_ms = 0
        self.count = 0
        self.said: list[Fact] = []
        self.agree(UP, list(GRAPH.targets))

    def record(self, *drafts: Draft) -> None:
        for entry in seal(drafts, self.state.head, 1):
            self.said.append(self.state.apply(entry))

    def happens(self, fact: Fact) -> None:
        self.count += 1
        self.record(Draft(f"test/{self.count}", self.now_ms, "test", fact))

    def agree(
        self, verdict: Verdict, names: list[str], dissent: Mapping[str, Verdict] = {}, *, confirmed: bool = True
    ) -> None:
        agreed = Agreed(verdict, self.now_ms, BY, dict(dissent))
        self.happens(VerdictsAgreed(dict.fromkeys(names, agreed), confirmed))

    def decides(self, after_ms: int = 0) -> list[Fact]:
        """What is recorded of scopes once so much time has passed."""
        self.now_ms += after_ms
        self.said.clear()
        for _ in range(20):
            decision = decide(LITTORAL, self.state, self.now_ms, generation=1)
            if not decision.record:
                return list(self.said)
            self.record(*decision.record)
        raise AssertionError("the decision never comes to rest")

    @property
    def open(self) -> dict[str, str]:
        return {one.id: one.cause.name for one in self.state.scope.open.values()}


def test_one_server_waits_for_what_fell_with_it() -> None:
    night = Night()
    night.agree(DOWN, on("sbg-web"))
    assert night.decides() == []
    assert decide(LITTORAL, night.state, 0, generation=1).wake_at_ms == SETTLED_MS
    assert night.decides(SETTLED_MS - 1) == []
    (opened,) = night.decides(1)
    assert isinstance(opened, ScopeOpened)
    assert set(opened.targets) == set(on("sbg-web"))
    assert night.open == {"server/sbg-web/1": "server/sbg-web"}


def test_what_is_up_again_in_the_very_append_that_opens_its_scope_is_not_waited_for() -> None:
    night = Night()
    night.agree(DOWN, on("sbg-web"))
    night.now_ms += SETTLED_MS
    decision = decide(LITTORAL, night.state, night.now_ms, generation=1)
    night.agree(UP, on("sbg-web"))  # observed in the same turn: it stands before what was decided
    night.record(*decision.record)
    assert night.open == {"server/sbg-web/1": "server/sbg-web"}
    assert [type(fact) for fact in night.decides()] == [ScopeEnded]


def test_a_whole_site_does_not_wait() -> None:
    night = Night()
    night.agree(DOWN, on("strasbourg"))
    night.decides()
    assert night.open == {"site/strasbourg/1": "site/strasbourg"}


def test_a_site_waits_while_something_else_falls_too() -> None:
    night = Night()
    night.agree(DOWN, [*on("strasbourg"), "edge@gra-edge"])
    assert night.decides() == []
    night.decides(SETTLED_MS)
    assert sorted(night.open.values()) == ["member/edge@gra-edge", "site/strasbourg"]


def test_it_is_corrected_under_the_same_identity() -> None:
    night = Night()
    night.agree(DOWN, on("sbg-web"))
    night.decides(SETTLED_MS)
    night.agree(DOWN, on("strasbourg"))
    (changed,) = night.decides()
    assert isinstance(changed, ScopeChanged)
    assert night.open == {"server/sbg-web/1": "site/strasbourg"}
    assert night.state.scope.open["server/sbg-web/1"].earlier == ("server/sbg-web",)


def test_two_become_one() -> None:
    night = Night()
    night.agree(DOWN, on("sbg-web"))
    night.decides(SETTLED_MS)
    night.agree(DOWN, on("sbg-db"))
    night.decides(SETTLED_MS)
    assert list(night.open) == ["server/sbg-web/1", "server/sbg-db/1"]
    night.agree(DOWN, on("strasbourg"))
    facts = night.decides()
    assert night.open == {"server/sbg-web/1": "site/strasbourg"}
    assert ScopeEnded("server/sbg-db/1", Ended.JOINED, "server/sbg-web/1") in facts
    assert set(night.state.scope.of_target.values()) == {"server/sbg-web/1"}
    night.agree(UP, on("strasbourg"))
    assert night.decides() == [ScopeEnded("server/sbg-web/1", Ended.UP_AGAIN)]
    assert night.state.scope.of_target == {}


def test_what_turns_out_smaller_is_corrected_too() -> None:
    night = Night()
    night.agree(UNSURE, on("strasbourg"))
    night.agree(DOWN, [*on("sbg-web"), *on("sbg-db")])
    night.decides(SETTLED_MS)
    assert night.open == {"site/strasbourg/1": "site/strasbourg"}
    assert night.state.scope.open["site/strasbourg/1"].cause.confidence is Confidence.PARTLY
    night.agree(UP, on("sbg-edge"))  # it was never down
    night.decides(SETTLED_MS)
    assert sorted(night.open.values()) == ["server/sbg-db", "server/sbg-web"]


def test_the_second_time_is_another_scope() -> None:
    night = Night()
    for number in (1, 2):
        night.agree(DOWN, on("strasbourg"))
        night.decides()
        assert list(night.open) == [f"site/strasbourg/{number}"]
        night.agree(UP, on("strasbourg"))
        night.decides()


def test_what_nobody_knows_ends_nothing() -> None:
    night = Night()
    night.agree(DOWN, on("strasbourg"))
    night.decides()
    night.agree(UNSURE, on("strasbourg"))
    assert night.decides(10**7) == []
    assert list(night.open) == ["site/strasbourg/1"]


def test_an_effect_that_is_up_does_not_make_the_cause_come_back() -> None:
    night = Night()
    night.agree(DOWN, ["database@gra-db", "database@sbg-db", "web@gra-web", "web@sbg-web"])
    night.decides(SETTLED_MS)
    night.agree(UP, ["web@gra-web"])
    night.agree(DOWN, ["database@gra-db/patroni"])
    night.decides(SETTLED_MS)
    assert night.open == {"service/database/1": "service/database"}
    assert night.state.scope.of_target["database@gra-db/patroni"] == "service/database/1"


def test_it_comes_back_piece_by_piece_as_one() -> None:
    night = Night()
    night.agree(DOWN, on("strasbourg"))
    night.decides()
    for server in ("sbg-edge", "sbg-db"):
        night.agree(UP, on(server))
        assert night.decides(60_000) == []
    night.agree(DOWN, on("sbg-edge"))  # it stumbles
    assert night.decides(60_000) == []
    night.agree(UP, on("sbg-edge"))
    (scope,) = night.state.scope.open.values()
    assert scope_sentence(scope, clock) == (
        "Site strasbourg is coming back: 6 of 8 targets are up again, 2 are still away; it was lost since 00:00:00 UTC."
    )
    assert decide(LITTORAL, night.state, night.now_ms, generation=1).wake_at_ms == night.now_ms + 600_000
    night.decides(600_000)
    assert night.open == {"site/strasbourg/1": "server/sbg-web"}
    night.agree(UP, on("sbg-web"))
    night.decides()
    assert night.open == {}


def test_what_came_back_and_is_unknown_then_is_not_waited_for() -> None:
    night = Night()
    night.agree(DOWN, on("strasbourg"))
    night.decides()
    night.agree(UP, on("sbg-edge"))
    night.agree(UNSURE, on("sbg-edge"))
    night.agree(UP, on("sbg-web", "sbg-db"))
    assert night.decides() == [ScopeEnded("site/strasbourg/1", Ended.UP_AGAIN)]


def test_what_comes_back_keeps_its_targets_though_another_cause_holds_them_too() -> None:
    night = Night()
    night.agree(DOWN, on("strasbourg"))
    night.decides()
    night.agree(UP, on("sbg-edge"))
    night.agree(DOWN, ["coordination@gra-db", "coordination@par-watch"])
    night.decides(SETTLED_MS)
    assert list(night.open) == ["site/strasbourg/1", "service/coordination/1"]
    assert night.state.scope.of_target["coordination@sbg-db"] == "site/strasbourg/1"


def test_what_falls_behind_something_that_comes_back_is_explained() -> None:
    night = Night()
    night.agree(DOWN, ["database@gra-db", "database@sbg-db", "database@gra-db/patroni"])
    night.decides(SETTLED_MS)
    night.agree(UP, ["database@gra-db/patroni"])
    night.agree(DOWN, ["web@gra-web"])
    night.decides(SETTLED_MS)
    assert "web@gra-web" in night.state.scope.of_target


def test_a_clock_that_goes_back_opens_the_scope_all_the_same() -> None:
    night = Night()
    night.now_ms = 10**9
    night.agree(DOWN, on("sbg-web"))
    assert night.decides() == []
    night.decides(-(10**8))
    assert night.open == {"server/sbg-web/1": "server/sbg-web"}


def test_what_is_removed_from_the_estate_ends() -> None:
    night = Night()
    night.happens(ScopeOpened("server/old/1", cause(subject="old"), ("old", "web@old")))
    assert night.decides() == [ScopeEnded("server/old/1", Ended.REMOVED)]


def test_a_decision_at_rest_looks_at_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night()
    night.agree(DOWN, on("strasbourg"))
    night.decides()
    monkeypatch.setattr("binome.core.scoping._Matching", None)
    assert decide(LITTORAL, night.state, night.now_ms + 10**9, generation=1).record == ()
    night.agree(DOWN, on("gra-web"))
    with pytest.raises(TypeError):
        decide(LITTORAL, night.state, night.now_ms + 10**9, generation=1)


def test_half_of_a_loss_is_not_judged() -> None:
    night = Night()
    agreed = Agreed(DOWN, 0, BY)
    night.happens(VerdictsAgreed(dict.fromkeys(on("sbg-web"), agreed), confirmed=True, more=True))
    assert night.decides(10_000) == []
    night.happens(VerdictsAgreed(dict.fromkeys(on("strasbourg"), agreed), confirmed=True))
    night.decides()
    assert night.open == {"site/strasbourg/1": "site/strasbourg"}


def test_a_scope_hides_what_it_explains_until_that_is_up() -> None:
    night = Night()
    night.agree(DOWN, ["database@gra-db", "database@sbg-db", "web@gra-web"])
    assert hides(night.state.scope, "web@gra-web") is None
    night.decides(SETTLED_MS)
    hidden = hides(night.state.scope, "web@gra-web")
    assert hidden is not None and hidden.id == "service/database/1"
    assert hides(night.state.scope, "web@sbg-web") is None
    night.agree(UP, ["web@gra-web"])
    assert hides(night.state.scope, "web@gra-web") is None


def test_few_vantage_points_confirm_nothing() -> None:
    night = Night()
    night.agree(DOWN, on("strasbourg"), confirmed=False)
    (opened,) = night.decides()
    assert isinstance(opened, ScopeOpened) and opened.cause.confidence is Confidence.UNCONFIRMED
    assert sentence(opened.cause, clock).endswith("; unconfirmed: fewer than three independent vantage points.")


# -- sight lines


def test_a_lookout_that_sees_everything_down_is_cut_off_itself() -> None:
    night = Night()
    night.agree(UP, on("gravelines", "strasbourg", "amsterdam"), {"par-watch": DOWN})
    assert night.decides(SETTLED_MS - 1) == []
    (opened,) = night.decides(1)
    assert isinstance(opened, ScopeOpened) and opened.targets == ()
    assert sentence(opened.cause, clock) == (
        "Lookout par-watch is cut off: it sees 17 of 17 targets outside its site silent since 00:00:00 UTC, "
        "which are up as the others see them."
    )
    night.agree(UP, list(GRAPH.targets))
    assert night.decides() == [ScopeEnded("vantage/par-watch/1", Ended.SEEN_AGAIN)]


def test_one_target_that_it_reaches_makes_it_something_else() -> None:
    night = Night()
    night.agree(UP, [one for one in on("gravelines") if one != "gra-web"], {"par-watch": DOWN})
    assert night.decides(10**6) == []  # one target of gravelines is seen from paris
    night.agree(UP, ["gra-web"], {"par-watch": DOWN})
    night.decides(10**6)
    assert list(night.open) == ["network/gravelines~paris/1"]


def test_where_one_other_site_is_left_it_is_the_network() -> None:
    night = Night()
    night.agree(DOWN, on("strasbourg", "amsterdam"))
    night.agree(UNSURE, on("gravelines"), {"gra-edge": UP, "par-watch": DOWN})
    night.decides(SETTLED_MS)
    assert "network/gravelines~paris/1" in night.open
    assert not any(name.startswith("vantage") for name in night.open)


def test_a_lookout_behind_a_cut_network_is_not_told_beside_it() -> None:
    night = Night()
    night.agree(UP, on("gravelines"), {"sbg-edge": DOWN})
    night.happens(LookoutsHeard({"gra-edge": 0}))
    night.decides(20_000)
    assert list(night.open) == ["network/gravelines~strasbourg/1"]


def test_a_silent_lookout_on_a_server_that_is_up() -> None:
    night = Night()
    night.happens(LookoutsHeard({"par-watch": 0}))
    assert night.decides(9_999) == []
    (opened,) = night.decides(1)
    assert isinstance(opened, ScopeOpened)
    assert sentence(opened.cause, clock) == (
        "Lookout par-watch is silent since 00:00:00 UTC, though its server is up, seen from gravelines and paris."
    )
    night.agree(DOWN, on("paris"))
    night.decides()
    assert night.open == {"vantage/par-watch/1": "site/paris"}


def test_a_silent_lookout_waits_until_it_would_be_known_that_its_server_is_lost() -> None:
    assert LITTORAL.lookout is not None
    slow = LITTORAL.model_copy(update={"lookout": LITTORAL.lookout.model_copy(update={"every_ms": 10_000})})
    night = Night()
    night.happens(LookoutsHeard({"par-watch": 0}))
    (seen,) = sighted(graphs.of(slow), night.state.looking, settle_ms(graphs.of(slow)))
    assert (seen.subject, seen.ready_ms) == ("par-watch", 3 * 10_000 + 800 + 12_500)


# -- one lookout alone


def alone(vantage: str, *down: str, heard: tuple[str, ...] = (), now_ms: int = 100_000) -> list[str]:
    judged = {name: Judged(DOWN if name in down else UP, 0) for name in GRAPH.targets}
    known = provisional(LITTORAL, State().scope, vantage, judged, heard=heard, now_ms=now_ms)
    assert all(one.cause.confidence is Confidence.PROVISIONAL for one in known)
    return [one.scope for one in known]


def test_what_one_lookout_makes_of_its_own_view() -> None:
    everything_else = on("gravelines", "strasbourg", "amsterdam")
    assert alone("par-watch", *on("strasbourg")) == ["site/strasbourg/1"]
    assert alone("par-watch", *everything_else) == ["vantage/par-watch/1"]
    assert alone("par-watch", *everything_else, "par-spare") == ["vantage/par-watch/1", "server/par-spare/1"]
    assert "vantage/par-watch/1" not in alone("par-watch", *everything_else, heard=("gra-edge",))
    assert "vantage/par-watch/1" not in alone("par-watch", *everything_else[1:])
    assert alone("par-watch", *on("sbg-web"), now_ms=3_000) == []  # what fell with it is not known yet


def test_ids_of_one_lookout_are_those_that_a_leader_gives() -> None:
    night = Night()
    night.agree(DOWN, on("strasbourg"))
    judged = {name: Judged(DOWN if name in on("strasbourg") else UP, 0) for name in GRAPH.targets}
    for _ in range(2):  # before the leader has opened it, and after
        known = provisional(LITTORAL, night.state.scope, "par-watch", judged, heard=(), now_ms=100_000)
        assert [one.scope for one in known] == ["site/strasbourg/1"]
        night.decides()


# -- what is said


def cause(**more: object) -> Cause:
    fields: dict[str, object] = {
        "kind": Kind.SERVER,
        "subject": "sbg-web",
        "manner": Manner.LOST,
        "since_ms": 0,
        "silent": 2,
        "of": 2,
        "seen_from": ("gravelines", "paris"),
        "confidence": Confidence.CONFIRMED,
    }
    return Cause(**(fields | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"kind": Kind.SITE, "subject": "strasbourg", "silent": 34, "of": 34, "lookouts": ("sbg-edge",)},
            "Site strasbourg is lost: 34 of 34 targets silent since 00:00:00 UTC, seen from gravelines and paris; "
            "strasbourg's own lookout is silent too.",
        ),
        (
            {"kind": Kind.SERVICE, "subject": "database", "services": ("database", "web"), "products": ("campaigns",)},
            "Service database is down: 2 of 2 members down since 00:00:00 UTC, seen from gravelines and paris; "
            "web cannot work; hit: campaigns.",
        ),
        (
            {"kind": Kind.MEMBER, "subject": "database@sbg-db", "of": 2, "silent": 1},
            "Service database on sbg-db is down: 1 of 2 targets down since 00:00:00 UTC, seen from gravelines and "
            "paris.",
        ),
        (
            {"kind": Kind.TARGET, "subject": "database@sbg-db/patroni", "of": 1, "silent": 1},
            "Patroni of database on sbg-db is down since 00:00:00 UTC, seen from gravelines and paris.",
        ),
        (
            {"kind": Kind.TARGET, "of": 1, "silent": 1},
            "Server sbg-web does not answer since 00:00:00 UTC, though something on it is up, seen from gravelines and "
            "paris.",
        ),
        (
            {"manner": Manner.UNSTEADY, "confidence": Confidence.PARTLY},
            "Server sbg-web is unsteady: 2 of 2 targets flapping since 00:00:00 UTC, seen from gravelines and paris; "
            "not all of it could be asked.",
        ),
    ],
)
def test_the_sentence(more: dict[str, object], words: str) -> None:
    assert sentence(cause(**more), clock) == words


def test_nothing_is_ever_shown_raw() -> None:
    said = sentence(cause(subject="sbg\x1b[31m\nweb", lookouts=("\x07",)), lambda _: "\x1b]0;00:47\u202e")
    assert said.isprintable()


# -- whatever comes


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_scopes_come_to_rest_and_fit_together_whatever_comes(data: st.DataObject) -> None:
    night = Night()
    subjects = ["sbg-web", "sbg-db", "gra-db", "strasbourg", "gravelines", "paris", "par-watch"]
    for _ in range(data.draw(st.integers(1, 12))):
        names = on(data.draw(st.sampled_from(subjects)))
        some = names[: data.draw(st.integers(1, len(names)))]
        night.agree(data.draw(st.sampled_from([UP, DOWN, DOWN, FLAPPING, UNSURE])), some)
        night.decides(data.draw(st.sampled_from([0, 100, SETTLED_MS, 700_000])))
        scopes = night.state.scope
        held = {target: one.id for one in scopes.open.values() for target in one.targets}
        assert held == scopes.of_target
        for one in scopes.open.values():
            assert one.remaining and one.remaining.keys() <= one.targets.keys()
            assert all(night.state.looking.verdict(target) is not UP for target in one.remaining)
    night.decides(20_000)
    down = {name for name in GRAPH.targets if night.state.looking.verdict(name) in (DOWN, FLAPPING)}
    assert down <= night.state.scope.of_target.keys()
    night.agree(UP, list(GRAPH.targets))
    night.decides()
    assert night.open == {}


def test_a_large_scope_is_recorded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binome.core.scoping.TARGETS_AT_ONCE", 3)
    night = Night()
    night.agree(DOWN, on("strasbourg"))
    facts = night.decides()
    assert [len(fact.targets) for fact in facts if isinstance(fact, ScopeOpened | ScopeChanged)] == [3, 3, 2]
