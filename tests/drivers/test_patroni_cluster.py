"""What may be changed of Patroni's keys: every refusal by name, and every change as Patroni would read it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from binome.drivers.database.patroni import cluster as keys
from binome.drivers.database.patroni.cluster import Change, Cluster, Done, Refused
from binome.ports import Delete, Put
from binome.sim.etcd_state import EtcdState

ROOT = "/service/littoral/"


def state(**values: Any) -> EtcdState:
    """A healthy pair, as Patroni 4.1 writes it, but for the `values`; None takes a key away."""
    etcd = EtcdState()
    plain: dict[str, Any] = {
        "leader": "gra-db",
        "sync": {"leader": "gra-db", "quorum": 0, "sync_standby": "sbg-db"},
        "config": {"ttl": 20},
        "members/gra-db": {"api_url": "http://127.0.0.1:1/patroni"},
        "members/sbg-db": {"api_url": "http://127.0.0.1:2/patroni"},
    } | {name.replace("__", "/").replace("_db", "-db"): value for name, value in values.items()}
    for key, value in plain.items():
        if value is not None:
            lease = etcd.grant(20) if key.startswith("members/") else 0
            text = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
            etcd.transact((), [Put(ROOT + key, text, lease)])
    return etcd


def seen(etcd: EtcdState) -> Cluster:
    return Cluster.of("littoral", etcd.range(ROOT, prefix=True).keys)


def applied(etcd: EtcdState, change: Change | Refused | Done) -> dict[str, Any]:
    """The keys after a change, which must be possible."""
    assert isinstance(change, Change)
    assert etcd.transact(*change).succeeded
    return {one.key.removeprefix(ROOT): one for one in etcd.range(ROOT, prefix=True).keys}


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"leader": "par-db"}, Refused.NOT_THE_PRIMARY),
        ({"sync": {"leader": "par-db", "sync_standby": "sbg-db"}}, Refused.NOT_THE_PRIMARY),
        ({"sync": {"leader": "gra-db", "sync_standby": "par-db"}}, Refused.NOT_SYNCHRONOUS),
        ({"sync": {"leader": "gra-db", "sync_standby": "sbg-db-2, xsbg-db"}}, Refused.NOT_SYNCHRONOUS),
        ({"sync": {"leader": "gra-db", "sync_standby": None}}, Refused.NOT_SYNCHRONOUS),
        ({"sync": {"leader": "gra-db", "sync_standby": ["sbg-db"]}}, Refused.NOT_SYNCHRONOUS),
        ({"sync": None}, Refused.NO_CLUSTER),
        ({"sync": "torn {"}, Refused.NO_CLUSTER),
        ({"sync": "[]"}, Refused.NO_CLUSTER),
        ({"sync": {"leader": "gra-db", "sync_standby": "par-db,sbg-db", "quorum": 1}}, Refused.QUORUM_COMMIT),
        ({"config": {"pause": True}}, Refused.PAUSED),
        ({"members__sbg_db": None}, Refused.SURVIVOR_ABSENT),
    ],
)
def test_a_takeover_is_refused_where_the_survivor_may_lack_a_write_or_would_not_promote(
    values: dict[str, Any], refused: Refused
) -> None:
    assert keys.takeover(seen(state(**values)), "sbg-db", "gra-db") is refused


@pytest.mark.parametrize("names", ["sbg-db", "SBG-DB", "par-db, Sbg-db", "sbg-db,par-db"])
def test_a_takeover_hands_the_leaders_key_to_the_survivor_on_its_own_lease(names: str) -> None:
    etcd = state(sync={"leader": "gra-db", "sync_standby": names})
    lease = etcd.range(f"{ROOT}members/sbg-db").keys[0].lease
    after = applied(etcd, keys.takeover(seen(etcd), "sbg-db", "gra-db"))
    assert (after["leader"].value, after["leader"].lease) == (b"sbg-db", lease)
    assert msgspec.json.decode(after["sync"].value) == {"leader": "sbg-db", "sync_standby": None, "quorum": 0}
    assert "members/gra-db" not in after
    assert isinstance(keys.takeover(seen(etcd), "sbg-db", "gra-db"), Done), "done before is done"


def test_the_key_that_wakes_the_members_is_changed_last() -> None:
    change = keys.takeover(seen(state()), "sbg-db", "gra-db")
    assert isinstance(change, Change)
    assert [type(one).__name__ for one in change.actions] == ["Put", "Delete", "Put"]
    assert change.actions[-1].key == f"{ROOT}leader"
    change = keys.release(seen(state()), "gra-db", "sbg-db")
    assert isinstance(change, Change)
    assert change.actions[-1].key == f"{ROOT}config"


def test_a_takeover_settles_the_race_that_begins_when_the_lost_ones_time_is_over() -> None:
    etcd = state(leader=None)
    assert applied(etcd, keys.takeover(seen(etcd), "sbg-db", "gra-db"))["leader"].value == b"sbg-db"


@pytest.mark.parametrize("key", ["leader", "sync"])
def test_nothing_is_taken_over_where_the_keys_moved_meanwhile(key: str) -> None:
    etcd = state()
    change = keys.takeover(seen(etcd), "sbg-db", "gra-db")
    assert isinstance(change, Change)
    before = etcd.range(ROOT + key).keys[0]
    etcd.transact((), [Put(ROOT + key, before.value)])  # the same words, said again
    assert not etcd.transact(*change).succeeded


def test_whoever_took_the_key_first_keeps_it() -> None:
    etcd = state(leader=None)
    change = keys.takeover(seen(etcd), "sbg-db", "gra-db")
    assert isinstance(change, Change)
    etcd.transact((), [Put(f"{ROOT}leader", b"gra-db")])
    assert not etcd.transact(*change).succeeded


@pytest.mark.parametrize(
    ("values", "accepts_loss", "refused"),
    [
        ({"sync": {"leader": "gra-db", "sync_standby": None}}, False, Refused.NOT_SYNCHRONOUS),
        ({"sync": None}, False, Refused.NOT_SYNCHRONOUS),
        ({"sync": {"leader": "gra-db", "sync_standby": "par-db,sbg-db", "quorum": 1}}, False, Refused.QUORUM_COMMIT),
        ({"config": {"pause": True}}, True, Refused.PAUSED),
    ],
)
def test_in_an_etcd_that_went_on_alone_a_survivor_is_refused_by_name(
    values: dict[str, Any], accepts_loss: bool, refused: Refused
) -> None:
    assert keys.restarted(seen(state(**values)), "sbg-db", vouched=True, accepts_loss=accepts_loss) is refused


@pytest.mark.parametrize(
    ("values", "survivor", "accepts_loss", "status"),
    [
        ({}, "sbg-db", False, True),
        ({"leader": None, "members__sbg_db": None}, "sbg-db", False, True),  # both were away for longer than a lease
        ({}, "gra-db", False, True),
        ({"leader": None}, "gra-db", False, True),
        ({"sync": {"leader": "gra-db", "sync_standby": None}}, "sbg-db", True, False),
    ],
)
def test_in_an_etcd_that_went_on_alone_only_the_survivor_can_become_primary(
    values: dict[str, Any], survivor: str, accepts_loss: bool, status: bool
) -> None:
    etcd = state(**values, status={"optime": 7})
    after = applied(etcd, keys.restarted(seen(etcd), survivor, vouched=False, accepts_loss=accepts_loss))
    assert msgspec.json.decode(after["sync"].value) == {"leader": survivor, "sync_standby": None, "quorum": 0}
    assert "leader" not in after or after["leader"].value == survivor.encode()
    assert {name for name in after if name.startswith("members/")} <= {f"members/{survivor}"}
    assert ("status" in after) is status, "Patroni would hold the survivor to how far the lost one was"


@pytest.mark.parametrize(("vouched", "accepts_loss"), [(True, False), (False, True), (False, False)])
def test_in_an_empty_etcd_our_own_mirror_vouches_for_the_survivor_or_a_person_takes_the_loss(
    vouched: bool, accepts_loss: bool
) -> None:
    etcd = EtcdState()
    change = keys.restarted(seen(etcd), "sbg-db", vouched=vouched, accepts_loss=accepts_loss)
    if not vouched and not accepts_loss:
        assert change is Refused.NOT_SYNCHRONOUS
        return
    after = applied(etcd, change)
    assert msgspec.json.decode(after["sync"].value)["leader"] == "sbg-db"
    assert "leader" not in after, "its Patroni founds the cluster again, and takes the key"


def test_who_founds_the_database_anew_finds_nothing_that_it_would_wait_for() -> None:
    etcd = state(initialize="7", status={"optime": 7}, history="[]", failover={"leader": "gra-db"})
    after = applied(etcd, keys.refounded(seen(etcd), "par-spare"))
    assert set(after) == {"config"} and msgspec.json.decode(after["config"].value) == {"ttl": 20}
    assert keys.refounded(seen(state(leader="par-spare")), "par-spare") == Done()
    assert keys.refounded(seen(state(config={"pause": True})), "par-spare") is Refused.PAUSED
    etcd = state(initialize="7")
    change = keys.refounded(seen(etcd), "par-spare")
    assert isinstance(change, Change)
    etcd.transact((), [Put(f"{ROOT}initialize", b"8")])
    assert not etcd.transact(*change).succeeded, "somebody else founded it meanwhile"


def test_a_standby_is_released_and_the_others_stay_synchronous() -> None:
    etcd = state(sync={"leader": "gra-db", "sync_standby": "Par-db,SBG-db"})
    after = applied(etcd, keys.release(seen(etcd), "gra-db", "sbg-db"))
    assert msgspec.json.decode(after["sync"].value)["sync_standby"] == "Par-db"
    assert (after["leader"].value, "members/sbg-db" in after) == (b"gra-db", False)
    assert isinstance(keys.release(seen(etcd), "gra-db", "sbg-db"), Done)


def test_waking_the_primary_changes_no_setting() -> None:
    etcd = state()
    for _ in range(2):
        before = etcd.range(f"{ROOT}config").keys[0].value
        change = keys.release(seen(etcd), "gra-db", "sbg-db")
        after = applied(etcd, change)["config"].value
        assert after != before
        assert msgspec.json.decode(after) == {"ttl": 20}
        etcd.transact((), [Put(f"{ROOT}sync", b'{"leader":"gra-db","sync_standby":"sbg-db","quorum":0}')])


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"leader": "sbg-db"}, Refused.PRIMARY_CHANGED),
        ({"leader": None}, Refused.PRIMARY_CHANGED),
        ({"sync": {"leader": "sbg-db", "sync_standby": None}}, Refused.PRIMARY_CHANGED),
        ({"sync": {"leader": "gra-db", "sync_standby": "par-db"}}, Refused.STANDBY_NOT_SYNCHRONOUS),
        ({"sync": {"leader": "gra-db", "sync_standby": "par-db,sbg-db", "quorum": 1}}, Refused.QUORUM_COMMIT),
        ({"sync": None}, Refused.NO_CLUSTER),
    ],
)
def test_a_release_is_refused_where_it_would_not_end_a_wait(values: dict[str, Any], refused: Refused) -> None:
    assert keys.release(seen(state(**values)), "gra-db", "sbg-db") is refused


def test_a_member_that_came_back_meanwhile_is_not_released() -> None:
    etcd = state()
    change = keys.release(seen(etcd), "gra-db", "sbg-db")
    assert isinstance(change, Change)
    etcd.transact((), [Put(f"{ROOT}members/sbg-db", b"{}")])
    assert not etcd.transact(*change).succeeded


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"leader": "par-db"}, Refused.PRIMARY_CHANGED),
        ({"leader": None}, Refused.PRIMARY_CHANGED),
        ({"sync": {"leader": "gra-db", "sync_standby": None}}, Refused.NOT_SYNCHRONOUS),
        ({"config": {"pause": True}}, Refused.PAUSED),
        ({"failover": {"leader": "gra-db", "member": "par-db"}}, Refused.SWITCHOVER_UNDER_WAY),
    ],
)
def test_a_switchover_is_refused(values: dict[str, Any], refused: Refused) -> None:
    assert keys.switchover(seen(state(**values)), "gra-db", "sbg-db") is refused


@pytest.mark.parametrize("before", [None, {}, ""])
def test_a_switchover_is_asked_for_as_patroni_would_and_once(before: Any) -> None:
    etcd = state(failover=before)
    after = applied(etcd, keys.switchover(seen(etcd), "gra-db", "sbg-db"))
    assert msgspec.json.decode(after["failover"].value) == {"leader": "gra-db", "member": "sbg-db"}
    assert isinstance(keys.switchover(seen(etcd), "gra-db", "sbg-db"), Done)


def test_nobody_is_changed_for_itself() -> None:
    now = seen(state())
    assert [decide(now, "gra-db", "gra-db") for decide in (keys.takeover, keys.release, keys.switchover)] == [
        Refused.SAME_SERVER
    ] * 3


def test_words_that_would_be_another_key_are_no_names() -> None:
    assert keys.are_names("gra-db", "Littoral_2", "db.1")
    assert not any(keys.are_names(one) for one in ("", "a/b", "../x", "a b", "a\n", "é", ".x", "a\0"))


def test_only_the_lost_member_is_forgotten() -> None:
    change = keys.takeover(seen(state()), "sbg-db", "gra-db")
    assert isinstance(change, Change)
    assert [one for one in change.actions if isinstance(one, Delete)] == [Delete(f"{ROOT}members/gra-db")]


def test_an_asynchronous_takeover_hands_over_the_key_where_patroni_agrees_that_nobody_is_synchronous() -> None:
    etcd = state(sync=None)
    found = applied(etcd, keys.takeover(seen(etcd), "sbg-db", "gra-db", asynchronous=True))
    assert found["leader"].value == b"sbg-db"
    assert found["leader"].lease == found["members/sbg-db"].lease
    assert "members/gra-db" not in found
    assert "sync" not in found, "Patroni has none, and gets none"


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"sync": {"leader": "gra-db", "sync_standby": None}}, Refused.NOT_SYNCHRONOUS),
        ({"sync": None, "leader": "par-db"}, Refused.NOT_THE_PRIMARY),
        ({"sync": None, "leader": None}, Refused.NOT_THE_PRIMARY),
        ({"sync": None, "config": {"pause": True}}, Refused.PAUSED),
        ({"sync": None, "members__sbg_db": None}, Refused.SURVIVOR_ABSENT),
    ],
)
def test_an_asynchronous_takeover_is_refused_where_it_is_none_or_nobody_knows_who_was_primary(
    values: dict[str, Any], refused: Refused
) -> None:
    assert keys.takeover(seen(state(**values)), "sbg-db", "gra-db", asynchronous=True) is refused


def test_an_asynchronous_switchover_is_patronis_to_judge_and_to_see_through() -> None:
    etcd = state(sync=None)
    assert keys.switchover(seen(etcd), "gra-db", "sbg-db") is Refused.NOT_SYNCHRONOUS
    assert "failover" in applied(etcd, keys.switchover(seen(etcd), "gra-db", "sbg-db", asynchronous=True))
    assert keys.hand_over(seen(etcd), "gra-db", "sbg-db") is Refused.PRIMARY_CHANGED
    behind = state(sync={"leader": "gra-db", "sync_standby": None})
    assert keys.switchover(seen(behind), "gra-db", "sbg-db", asynchronous=True) is Refused.NOT_SYNCHRONOUS


ASKED = {"leader": "gra-db", "member": "sbg-db"}


def test_the_key_of_a_primary_that_has_stopped_is_handed_over_and_it_keeps_its_place() -> None:
    etcd = state(failover=ASKED)
    found = applied(etcd, keys.hand_over(seen(etcd), "gra-db", "sbg-db"))
    assert (found["leader"].value, found["leader"].lease) == (b"sbg-db", found["members/sbg-db"].lease)
    assert msgspec.json.decode(found["sync"].value) == {"leader": "sbg-db", "sync_standby": None, "quorum": 0}
    assert "failover" not in found
    assert "members/gra-db" in found
    assert keys.hand_over(seen(etcd), "gra-db", "sbg-db") == Done()


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"leader": "par-db"}, Refused.PRIMARY_CHANGED),
        ({"leader": None}, Refused.PRIMARY_CHANGED),
        ({"sync": {"leader": "par-db", "sync_standby": "sbg-db"}}, Refused.PRIMARY_CHANGED),
        ({"failover": None}, Refused.SWITCHOVER_DROPPED),
        ({"failover": {}}, Refused.SWITCHOVER_DROPPED),
        ({"failover": {"leader": "gra-db", "member": "par-db"}}, Refused.SWITCHOVER_DROPPED),
        ({"sync": {"leader": "gra-db", "sync_standby": "par-db"}}, Refused.NOT_SYNCHRONOUS),
        ({"sync": {"leader": "gra-db", "sync_standby": "sbg-db", "quorum": 1}}, Refused.QUORUM_COMMIT),
        ({"config": {"pause": True}}, Refused.PAUSED),
        ({"members__sbg_db": None}, Refused.SURVIVOR_ABSENT),
    ],
)
def test_the_key_is_patronis_to_hand_over_where_anything_is_otherwise(values: dict[str, Any], refused: Refused) -> None:
    assert keys.hand_over(seen(state(**{"failover": ASKED} | values)), "gra-db", "sbg-db") is refused


@pytest.mark.parametrize("moved", ["leader", "sync", "failover"])
def test_the_key_is_not_handed_over_once_anything_has_moved(moved: str) -> None:
    etcd = state(failover=ASKED)
    change = keys.hand_over(seen(etcd), "gra-db", "sbg-db")
    assert isinstance(change, Change)
    etcd.transact((), [Put(f"{ROOT}{moved}", etcd.range(f"{ROOT}{moved}").keys[0].value)])
    assert not etcd.transact(*change).succeeded


def test_what_was_asked_of_a_lost_primary_goes_with_its_key() -> None:
    etcd = state(failover=ASKED)
    assert "failover" not in applied(etcd, keys.takeover(seen(etcd), "sbg-db", "gra-db"))
