"""Preflight's checks as tables: what the probes found, and what each deviation is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from binome.core.preflight.asked import Credentials, asked, not_asked
from binome.core.preflight.check import Check, Name, Seen, Sight, State
from binome.core.preflight.judge import judge
from binome.core.target import Answer
from binome.estate import Estate, load

TEXT = (Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_text()
LITTORAL = load(TEXT.encode())
Details = dict[str, Any]
World = dict[str, Seen]

_ETCD: Details = {
    "member": "1",
    "leader": "3",
    "members": 3,
    "member/1": "gra-db http://10.20.1.12:2380",
    "member/2": "sbg-db http://10.20.2.12:2380",
    "member/3": "par-watch http://10.20.3.10:2380",
}
_SETTINGS: Details = {
    "config/ttl": 20,
    "config/loop_wait": 1,
    "config/retry_timeout": 3,
    "config/synchronous_mode": True,
    "config/failsafe_mode": False,
    "config/primary_start_timeout": 0,
    "config/primary_stop_timeout": 5,
    "config/maximum_lag_on_failover": 1048576,
    "config/postgresql/use_pg_rewind": True,
    "config/postgresql/use_slots": True,
    "config/postgresql/parameters/wal_log_hints": True,  # `on` and true are the same
    "config/postgresql/parameters/wal_sender_timeout": "3s",
    "config/postgresql/parameters/wal_receiver_timeout": "3s",
    "config/postgresql/parameters/wal_retrieve_retry_interval": "500ms",
    "config/postgresql/parameters/tcp_user_timeout": "3000",
    "config/postgresql/parameters/tcp_keepalives_idle": 2,
    "config/postgresql/parameters/tcp_keepalives_interval": 1,
    "config/postgresql/parameters/tcp_keepalives_count": 2,
    "config/postgresql/parameters/max_connections": 200,
}
_PATRONI: Details = {
    **_SETTINGS,
    "config": len(_SETTINGS),
    "scope": "littoral",
    "timeline": 3,
    "paused": False,
    "cluster": 2,
    "member/gra-db": "leader running 10.20.1.12 5432",
    "member/sbg-db": "sync_standby streaming 10.20.2.12 5432",
}
_PRIMARY = {**_PATRONI, "role": "primary", "synchronous_standbys": "sbg-db"}
_STANDBY = {**_PATRONI, "role": "replica", "synchronous": True}
_POSTGRESQL: Details = {"checksums": "on", "weak": 0, "weak_ones": "", "synchronous_commit": "on", "role": "primary"}
_EDGE: Details = {
    "web": "UP",
    "web/gra-web": "UP",
    "web/gra-web/address": "10.20.1.11:8000",
    "web/sbg-web": "UP 1/2",
    "web/sbg-web/address": "10.20.2.11:8000",
    "database": "UP",
    "database/gra-db": "UP",
    "database/gra-db/address": "10.20.1.12:5432",
    "database/sbg-db": "DOWN",
    "database/sbg-db/address": "10.20.2.12:5432",
    "database-reads": "UP",
    "database-reads/gra-db": "UP",
    "database-reads/gra-db/address": "10.20.1.12:5432",
    "database-reads/sbg-db": "UP",
    "database-reads/sbg-db/address": "10.20.2.12:5432",
}
_IN_TIME: Details = {"clock_least_ms": -100, "clock_most_ms": 120}
_SAID: Mapping[str, Details] = {
    "coordination@gra-db": _ETCD,
    "coordination@sbg-db": _ETCD,
    "coordination@par-watch": _ETCD,
    "database@gra-db": _POSTGRESQL,
    "database@sbg-db": _POSTGRESQL,
    "database@gra-db/patroni": _PRIMARY,
    "database@sbg-db/patroni": _STANDBY,
    "edge@gra-edge": _EDGE,
    "edge@sbg-edge": _EDGE,
}


def well(estate: Estate = LITTORAL) -> World:
    """Everything as the file says."""
    timeless = ("icmp", "tcp", "tls", "dns", "postgresql")
    return {
        target.name: Seen(
            Answer.UP, "well", {**_SAID.get(target.name, {}), **({} if target.kind in timeless else _IN_TIME)}
        )
        for target in asked(estate)
    }


def flown(world: World, estate: Estate = LITTORAL, servers: frozenset[str] = frozenset()) -> list[Check]:
    targets = asked(estate, servers)
    return list(judge(Sight(estate, targets, {one.name: world[one.name] for one in targets if one.name in world})))


def amiss(checks: list[Check]) -> dict[tuple[str, str, str], str]:
    """Those that are not good: state, check, subject → what was found."""
    return {(str(one.state), str(one.name), one.subject): one.found for one in checks if one.state is not State.GOOD}


def told(world: World, targets: Iterable[str], details: Details) -> None:
    """Changes what targets told; None takes a detail away."""
    for target in targets:
        changed = {**world[target].details, **details}
        world[target] = world[target]._replace(details={key: one for key, one in changed.items() if one is not None})


def test_all_is_well() -> None:
    checks = flown(well())
    assert amiss(checks) == {}
    assert {one.name for one in checks} == {*Name} - {Name.PROBE, Name.CERTIFICATE, Name.DNS}
    assert all(one.remedy == "" and one.found for one in checks)


def test_nothing_seen_is_nothing_good() -> None:
    assert {one.state for one in flown({})} == {State.UNKNOWN}


@pytest.mark.parametrize("answer", [Answer.DOWN, Answer.UNSURE])
def test_whatever_does_not_answer_is_never_good(answer: Answer) -> None:
    """Each target in turn, alone: its own check has the answer, and no check that hangs on it alone is good."""
    states = {Answer.DOWN: State.BAD, Answer.UNSURE: State.UNKNOWN}
    for target in asked(LITTORAL):
        world = well()
        world[target.name] = Seen(answer, "silence")
        checks = flown(world)
        (own,) = [one for one in checks if one.subject == target.name and one.found == "silence"]
        assert own.state is states[answer] and own.remedy, own
    assert {one.state for one in flown(dict.fromkeys(well(), Seen(answer, "silence")))} <= {State.BAD, State.UNKNOWN}


ETCD = ("coordination@gra-db", "coordination@sbg-db", "coordination@par-watch")
BOTH = ("database@gra-db/patroni", "database@sbg-db/patroni")
QUERIES = ("database@gra-db", "database@sbg-db")

WEB = ("web@gra-web",)
EDGES = ("edge@gra-edge", "edge@sbg-edge")

Edit = tuple[tuple[str, ...], Details]
"""Of which targets which details are otherwise; None for one that is not there."""
CASES: dict[str, tuple[list[Edit], dict[tuple[str, str, str], str]]] = {
    "a member of etcd that the file does not have": (
        [(ETCD, {"member/4": "old http://10.20.9.9:2380"})],
        {
            ("bad", "etcd-members", "coordination"): (
                "old at 10.20.9.9 is a member, and no server of the file has that address"
            )
        },
    ),
    "a member of etcd in another site than the file says": (
        [(ETCD, {"member/3": "par-watch http://10.20.1.10:2380"})],
        {
            ("bad", "etcd-members", "coordination"): (
                "gra-edge in gravelines is a member, and the file does not say so; "
                "par-watch in paris is no member, says gra-db; par-watch in paris is no member, says sbg-db; "
                "par-watch in paris is no member, says par-watch"
            )
        },
    ),
    "a member of etcd that never ran": (
        [(ETCD, {"member/3": "- http://10.20.3.10:2380"})],
        {("bad", "etcd-members", "coordination"): "the member for par-watch was added and never ran"},
    ),
    "a member of etcd by a name": (
        [(ETCD, {"member/3": "par-watch http://watch.example:2380"})],
        {("unknown", "etcd-members", "coordination"): "par-watch stands at watch.example, which is no address"},
    ),
    "two leaders of etcd": (
        [(ETCD[1:2], {"leader": "2"})],
        {
            ("bad", "etcd-leader", "coordination"): (
                "gra-db follows par-watch; sbg-db follows sbg-db; par-watch follows par-watch"
            )
        },
    ),
    "a member of Patroni is missing": (
        [(BOTH, {"member/sbg-db": None})],
        {
            ("bad", "patroni-members", "database"): "sbg-db is no member",
            ("bad", "patroni-synchronous", "database"): "there is no standby",
        },
    ),
    "a member of Patroni elsewhere, stopped, and of another scope": (
        [(BOTH, {"member/sbg-db": "sync_standby stopped 10.9.9.9 5433", "scope": "other"})],
        {
            ("bad", "patroni-members", "database"): (
                "gra-db belongs to scope other; sbg-db belongs to scope other; sbg-db is at 10.9.9.9 port 5433; "
                "sbg-db is stopped"
            )
        },
    ),
    "a member's state of several words": (
        [(BOTH, {"member/sbg-db": "sync_standby in archive recovery 10.20.2.12 5432"})],
        {("bad", "patroni-members", "database"): "sbg-db is in archive recovery"},
    ),
    "a member of Patroni that the file does not have": (
        [(BOTH, {"member/old": "replica streaming 10.9.9.9 5432"})],
        {("bad", "patroni-members", "database"): "old is a member, and the file does not say so"},
    ),
    "two primaries": (
        [(BOTH[1:], {"role": "primary", "synchronous_standbys": "gra-db"})],
        {("bad", "patroni-roles", "database"): "sbg-db says that it is primary, and the others say gra-db"},
    ),
    "two timelines": (
        [(BOTH[1:], {"timeline": 2})],
        {("bad", "patroni-roles", "database"): "timelines 3 on gra-db, 2 on sbg-db"},
    ),
    "an asynchronous standby": (
        [
            (BOTH, {"member/sbg-db": "replica streaming 10.20.2.12 5432", "config/synchronous_mode": False}),
            (BOTH[:1], {"synchronous_standbys": ""}),
        ],
        {
            ("bad", "patroni-synchronous", "database"): "sbg-db is asynchronous; gra-db waits for no standby",
            ("bad", "patroni-settings", "database"): "synchronous_mode is false, and true is rendered",
        },
    ),
    "a setting that is missing": (
        [(BOTH, {"config/postgresql/parameters/tcp_user_timeout": None})],
        {
            ("bad", "patroni-settings", "database"): (
                "postgresql.parameters.tcp_user_timeout is not set, and 3000 is rendered"
            )
        },
    ),
    "a pause": (
        [(BOTH[:1], {"paused": True})],
        {("bad", "patroni-settings", "database"): "Patroni is paused: nobody takes over"},
    ),
    "a setting of our own is nobody's business": (
        [(BOTH, {"config/check_timeline": True})],
        {},
    ),
    "no checksums": (
        [(QUERIES[1:], {"checksums": "off"})],
        {("bad", "postgresql-checksums", "database@sbg-db"): "checksums are off"},
    ),
    "a role that does not wait": (
        [(QUERIES, {"weak": 1, "weak_ones": "role reports sets local"})],
        {("bad", "postgresql-commit", "database"): "1 sets it: role reports sets local"},
    ),
    "a server that does not wait": (
        [(QUERIES[:1], {"synchronous_commit": "remote_write"})],
        {("bad", "postgresql-commit", "database"): "gra-db has remote_write for whoever asked"},
    ),
    "a query that failed": (
        [(QUERIES, {**dict.fromkeys(_POSTGRESQL), "query": "no such role"})],
        {
            ("unknown", "postgresql-checksums", "database@gra-db"): "the query failed: no such role",
            ("unknown", "postgresql-checksums", "database@sbg-db"): "the query failed: no such role",
            ("unknown", "postgresql-commit", "database"): "the query failed: no such role",
        },
    ),
    "a backend that was edited": (
        [
            (EDGES[:1], {"web/sbg-web": None, "web/sbg-web/address": None}),
            (EDGES[:1], {"web/old": "UP", "web/old/address": "10.9.9.9:80"}),
            (EDGES[:1], {"database/gra-db/address": "10.20.1.12:6432"}),
        ],
        {
            ("bad", "edge-backends", "edge@gra-edge"): (
                "web has a server old at 10.9.9.9:80; web has no server sbg-web; "
                "database has gra-db at 10.20.1.12:6432, not at 10.20.1.12:5432"
            ),
            ("bad", "edge-states", "edge@gra-edge"): "web: sbg-web is not there",
        },
    ),
    "a backend too many, another too few": (
        [
            (EDGES[1:], dict.fromkeys(key for key in _EDGE if key.startswith("database-reads"))),
            (EDGES[1:], {"extra": "UP"}),
        ],
        {
            ("bad", "edge-backends", "edge@sbg-edge"): "there is a backend extra; there is no backend database-reads",
            ("bad", "edge-states", "edge@sbg-edge"): (
                "database-reads: gra-db is not there; database-reads: sbg-db is not there"
            ),
        },
    ),
    "statistics without addresses": (
        [(EDGES[:1], dict.fromkeys(key for key in _EDGE if key.endswith("/address")))],
        {
            ("unknown", "edge-backends", "edge@gra-edge"): (
                "the names are those that are rendered; its statistics do not show addresses"
            )
        },
    ),
    "an edge that leads to who is not primary": (
        [(EDGES[:1], {"database/gra-db": "DOWN", "database/sbg-db": "UP"})],
        {("bad", "edge-states", "edge@gra-edge"): "database: sbg-db is up, and gra-db is the primary"},
    ),
    "an edge with nobody to write to, and a web server down": (
        [(EDGES[:1], {"database/gra-db": "DOWN", "web/gra-web": "MAINT"})],
        {("bad", "edge-states", "edge@gra-edge"): "web: gra-web is MAINT; database: 0 servers are up (none)"},
    ),
    "a clock that is wrong": (
        [(WEB, {"clock_least_ms": 4900, "clock_most_ms": 5100})],
        {("bad", "clock", "gra-web"): "5.0 s ahead, to 0.1 s"},
    ),
    "one of two clocks of a server": (
        [(ETCD[:1], {"clock_least_ms": -9000, "clock_most_ms": -8800})],
        {("bad", "clock", "gra-db"): "8.9 s behind, to 0.1 s"},
    ),
    "a clock that may be wrong": (
        [(WEB, {"clock_least_ms": 800, "clock_most_ms": 1200})],
        {("unknown", "clock", "gra-web"): "1.0 s ahead, to 0.2 s"},
    ),
    "a clock that nobody tells": (
        [(WEB, dict.fromkeys(_IN_TIME))],
        {("unknown", "clock", "gra-web"): "it answers, and does not say what time it is"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_deviation_is_named_and_nothing_else(case: str) -> None:
    edits, expected = CASES[case]
    world = well()
    for targets, details in edits:
        told(world, targets, details)
    found = flown(world)
    assert amiss(found) == expected
    assert all(one.remedy for one in found if one.state is not State.GOOD)


@pytest.mark.parametrize("servers", [frozenset(), frozenset({"gra-web", "sbg-web"})])
def test_our_own_clock_may_be_the_wrong_one(servers: frozenset[str]) -> None:
    world = well()
    for name, seen in world.items():
        if "clock_least_ms" in seen.details:
            told(world, [name], {"clock_least_ms": 9_900, "clock_most_ms": 10_100})
    assert amiss(flown(world, servers=servers)) == {("bad", "clock", "this machine"): "10.0 s behind, to 0.0 s"}


def test_of_two_clocks_ours_is_believed() -> None:
    world = well()
    told(world, WEB, {"clock_least_ms": 9_900, "clock_most_ms": 10_100})
    found = amiss(flown(world, servers=frozenset({"gra-web"})))
    assert found == {("bad", "clock", "gra-web"): "10.0 s ahead, to 0.1 s"}


def test_one_server_alone() -> None:
    """Nothing of the others is asked, nor held against this one."""
    only = frozenset({"sbg-db"})
    assert {target.server for target in asked(LITTORAL, only)} == only
    assert amiss(flown(well(), servers=only)) == {}
    names = {str(one.name) for one in flown(well(), servers=only)}
    assert {"etcd-members", "patroni-settings", "postgresql-commit"} <= names and "edge-backends" not in names


def test_a_lookout_that_does_not_run_yet_is_no_fault_and_one_that_is_cut_off_is() -> None:
    world = well()
    world["lookout@gra-edge:7117"] = Seen(Answer.DOWN, "connection refused", {"refused": True})
    world["lookout@sbg-edge:7117"] = Seen(Answer.DOWN, "no answer within 3000 ms")
    assert list(amiss(flown(world))) == [("bad", "port-open", "lookout@sbg-edge:7117")]
    said = not_asked(Sight(LITTORAL, asked(LITTORAL), world), frozenset())
    assert "lookout on gra-edge: nobody listens at port 7117 yet" in said


def test_what_is_not_asked_is_said() -> None:
    said = not_asked(Sight(LITTORAL, asked(LITTORAL), well()), frozenset())
    assert said == (
        "clock of par-spare, ams-vault: nothing runs there that tells the time",
        "name app.littoral.example, www.littoral.example: neither `servers` nor `expect` says what is right",
        "link sms, email, voice, presence, contact-rental: nothing is sent",
        "vault vault-ams, vault-par: binome check says what is amiss",
        "backup nightly: binome check says what is amiss",
        "pages by sms-gateway, mail: nobody is paged",
    )


MORE = """
probes:
  login: {kind: http, of: web, url: "https://app.littoral.example/login"}
  papers: {kind: tls, host: app.littoral.example, days: 30}
  zone: {kind: dns, address: 192.0.2.53, name: littoral.example, type: MX}
  query: {kind: postgresql, of: database, on: gra-db, user: watcher, password: "env:WATCHER"}
  dump: {kind: heartbeat, of: database, every: 1d, token: "env:TOKEN"}
"""


def test_probes_of_the_file_are_asked_with_the_certificates_behind_them() -> None:
    estate = load((TEXT + MORE).encode())
    targets = {target.name: target for target in asked(estate)}
    assert "dump" not in targets
    assert targets["login:certificate"].options == {"host": "app.littoral.example", "days": 14}
    assert targets["papers"].options["days"] == 30
    login = {"user": "watcher", "password": "env:WATCHER", "thorough": True}
    assert targets["database@sbg-db"].options == login, "the credentials of the service's own probe"
    named = asked(estate, credentials=Credentials("other"))
    assert next(one for one in named if one.name == "database@gra-db").options == {"user": "other", "thorough": True}
    world = dict.fromkeys(targets, Seen(Answer.DOWN, "wrong"))
    found = {one.subject: (str(one.name), estate.place(*one.path).line) for one in flown(world, estate)}
    line = TEXT.count("\n") + 3
    assert found["login"] == ("probe-answers", line)
    assert found["login:certificate"] == ("certificate", line)
    assert found["papers"] == ("certificate", line + 1)
    assert found["zone"][0] == "name-answers"


def test_an_estate_without_a_lookout_and_one_without_anything() -> None:
    bare = load(
        b"sites: {a: {}}\nservers: {x: {site: a, address: 10.0.0.1}}\nservices: {db: {kind: generic, on: [x]}}\n"
    )
    assert [target.name for target in asked(bare)] == ["x"]
    said = not_asked(Sight(bare, asked(bare), {}), frozenset())
    assert "service db: of kind generic, known by its members alone" in said
    assert asked(load(b"sites: {a: {}}\n")) == ()


def test_etcd_with_tls_is_asked_with_its_files() -> None:
    tls = "{ca: /etc/ca.pem, cert: /etc/me.pem, key: /etc/me.key}"
    estate = load(TEXT.replace("{kind: etcd, on", f"{{kind: etcd, tls: {tls}, on").encode())
    targets = {target.name: target.options for target in asked(estate)}
    files = {"ca": "/etc/ca.pem", "cert": "/etc/me.pem", "key": "/etc/me.key"}
    assert files.items() <= targets["coordination@gra-db"].items()
    assert targets["coordination@gra-db:certificate"] == {**files, "days": 14, "thorough": True}
