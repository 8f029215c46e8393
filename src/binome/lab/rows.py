"""The rows of the fault matrix: what is done to the lab, and what must come of it. Data, and how it is said.

An act is a verb and its arguments. Servers and sites are named by the part that they play when the row begins:

    primary, standby       the members of the database            primary's, standby's    their sites
    witness                the etcd member beside them            witness's               its site
    leader                 the lookout that leads
    edge                   the edge that the clients use

    freeze, thaw, kill PROGRAM of SERVER      lose-data, fill-quota of SERVER (etcd)     slow-etcd FROZEN_S FREE_S
    fill-disk SERVER DISK: database, agreement, binome      switch-log of SERVER's PostgreSQL, to a new file
    clock LOOKOUT OFFSET: +600, -600 (seconds), "+0 x1.1"
    delay MILLISECONDS between two sites, one way
    cut, burn SITE      flap SITE EVERY_S     part SITE SITE     one-way SERVER|SITE, to every server elsewhere
    loss SITE SITE PERCENT      wait SECONDS      until-led: another lookout leads     ask LEADER SECONDS: a maintenance

Whatever a row does, no acknowledged write is lost, no two primaries acknowledge, and everything is whole within
`WHOLE_S` after the fault has ended.
"""

from __future__ import annotations

from dataclasses import dataclass

WHOLE_S = 120
Act = tuple[str, ...]

NOTHING_S = 1.5
"""Nothing was out: no client had to wait for longer than two attempts of the patient one take on a busy machine."""
FIRE_S = 5.0
"""As a fire with `act_after` of 350 ms; most of it is what a busy machine adds."""
TIMER_S = 32.0
"""Patroni's own timer, 20 s, and what a promotion and its clients need after it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row. Lengths are in seconds.

    `outage_s`: the longest that the patient client may be without an acknowledged write, None where writes stand still
    for as long as the fault. `takeovers`: the least and the most promotions while the fault lasts; `later`: the most
    after its end, where nobody holds Patroni's lease any more and whoever is quicker takes it. `told`: patterns, each
    of which something that people are shown must match: the journal, the pages, `binome status`. `disks`:
    those that are small ones of their own in the row's lab (disks.py). `sessions_s`: so soon after the fault are
    sessions to the lost primary ended, that were open at edges elsewhere. `untold`: as `told`, and nothing may match.
    `clocks`: the lookouts have clocks of their own in the row's lab (clock.py).
    """

    name: str
    fault: str
    acts: tuple[Act, ...]
    lasts_s: float
    outage_s: float | None
    takeovers: tuple[int, int]
    told: tuple[str, ...] = ()
    later: int = 0
    quick: bool = False
    disks: tuple[str, ...] = ()
    sessions_s: float | None = None
    untold: tuple[str, ...] = ()
    clocks: bool = False

    @property
    def expected(self) -> str:
        """What must come of it, in words."""
        least, most = self.takeovers
        moves = {(0, 0): "no takeover", (1, 1): "one takeover", (0, 1): "at most one takeover"}[least, most]
        out = "writes wait until it ends" if self.outage_s is None else f"writes out ≤ {self.outage_s:g} s"
        later = "; then whoever is quicker" if self.later else ""
        ended = "" if self.sessions_s is None else f"; sessions ended ≤ {self.sessions_s:g} s"
        untold = "; nobody is paged, and who leads goes on" if self.untold else ""
        return f"{moves}{later}; {out}{ended}{'; told' if self.told else ''}{untold}"


_CALM = ("^page ", "^journal: .* leads, generation")
_DISKS = ("binome", "database", "agreement")

ROWS = (
    Row(
        "postgresql-killed",
        "the primary's PostgreSQL killed",
        (("kill", "primary", "postgresql"),),
        15,
        FIRE_S,
        (0, 1),
        quick=True,
    ),
    Row(
        "postgresql-frozen",
        "the primary's PostgreSQL frozen",
        (("freeze", "primary", "postgresql"),),
        40,
        TIMER_S,
        (1, 1),
    ),
    Row("patroni-frozen", "its Patroni frozen", (("freeze", "primary", "patroni"),), 40, TIMER_S, (1, 1)),
    Row(
        "all-frozen",
        "PostgreSQL, Patroni and the lookout of its site frozen",
        (
            ("freeze", "primary", "postgresql"),
            ("freeze", "primary", "patroni"),
            ("freeze", "primary's-lookout", "lookout"),
        ),
        40,
        TIMER_S,
        (1, 1),
    ),
    Row(
        "leader-frozen",
        "the leading lookout frozen for 60 s; its successor leads meanwhile",
        (
            ("freeze", "leader", "lookout"),
            ("until-led",),
            ("ask", "leader", "75"),  # the first that it reads when it goes on, still sure that it leads
            ("wait", "60"),
            ("thaw", "leader", "lookout"),
        ),
        20,
        NOTHING_S,
        (0, 0),
        told=("lead: (?!{leader})", "plan: maintenance/"),
    ),
    Row(
        "etcd-member-gone",
        "one member of etcd killed",
        (("kill", "witness", "etcd"),),
        20,
        NOTHING_S,
        (0, 0),
        told=("coordination@{witness}|coordination is alone",),
        quick=True,
    ),
    Row(
        "etcd-data-gone",
        "its data gone",
        (("lose-data", "witness"),),
        20,
        NOTHING_S,
        (0, 0),
        told=("coordination@{witness}|coordination is alone",),
    ),
    Row(
        "etcd-quorum-gone",
        "two of three members of etcd killed",
        (("kill", "witness", "etcd"), ("kill", "standby", "etcd")),
        40,
        None,
        (0, 0),
        told=("wrong: (?!page)", "page .*coordination"),
        later=1,
    ),
    Row(
        "etcd-slow",
        "etcd stands still for 2 s, again and again",
        (("slow-etcd", "2", "0.5"),),
        40,
        None,
        (0, 0),
        later=1,
    ),
    Row(
        "etcd-quota-full",
        "the quota of etcd full: it refuses all writes",
        (("fill-quota", "witness"),),
        80,
        None,
        (0, 0),
        told=("wrong: .*space exceeded", "page .*trouble"),
        later=1,
    ),
    Row(
        "primary-cut",
        "the primary's site cut off",
        (("cut", "primary's"),),
        15,
        FIRE_S,
        (1, 1),
        told=("takeover by {standby}",),
        quick=True,
    ),
    Row("standby-cut", "the standby's site cut off", (("cut", "standby's"),), 15, FIRE_S, (0, 0), quick=True),
    Row("witness-cut", "the witness's site cut off", (("cut", "witness's"),), 15, NOTHING_S, (0, 0)),
    Row(
        "one-way",
        "what the primary's server sends is lost, to all sites but its own",
        (("one-way", "primary"),),
        45,
        2 * FIRE_S,
        (1, 1),
        told=("takeover by {standby}",),
    ),
    Row(
        "one-way-site",
        "what the primary's site sends is lost",
        (("one-way", "primary's"),),
        20,
        FIRE_S,
        (1, 1),
        told=("takeover by {standby}",),
    ),
    Row(
        "parted",
        "the primary's and the standby's site do not see each other; both see the third",
        (("part", "primary's", "standby's"),),
        45,
        TIMER_S,
        (0, 1),
        told=("network between .* is cut",),
    ),
    Row(
        "loss",
        "30 % of all frames lost between the primary's and the standby's site",
        (("loss", "primary's", "standby's", "30"),),
        60,
        TIMER_S,
        (0, 1),
    ),
    Row("flap", "the primary's site cut off and joined every 7 s", (("flap", "primary's", "7"),), 120, 12.0, (0, 1)),
    Row("haproxy-killed", "the edge that the clients use killed", (("kill", "edge", "haproxy"),), 10, 3.0, (0, 0)),
    Row(
        "delay-5",
        "5 ms between the sites, one way; the primary's site burns",
        (("delay", "5"), ("wait", "5"), ("burn", "primary's")),
        20,
        FIRE_S,
        (1, 1),
        told=("takeover by {standby}",),
    ),
    Row(
        "delay-20",
        "20 ms between the sites, one way; the primary's site burns",
        (("delay", "20"), ("wait", "5"), ("burn", "primary's")),
        20,
        FIRE_S,
        (1, 1),
        told=("takeover by {standby}",),
    ),
    Row(
        "sessions",
        "the primary's site cut off, while sessions to it are open that last for hours and say nothing",
        (("cut", "primary's"),),
        20,
        FIRE_S,
        (1, 1),
        sessions_s=FIRE_S,
    ),
    Row(
        "two-sites-gone",
        "the sites of the primary and of the witness burn; their data is kept",
        (("burn", "primary's"), ("burn", "witness's")),
        30,
        None,
        (0, 0),
        told=("--attest",),
        later=1,
    ),
    Row(
        "power",
        "all sites that hold a part lose their power, and it returns",
        (("burn", "primary's"), ("burn", "standby's"), ("burn", "witness's")),
        10,
        None,
        (0, 0),
        later=1,
    ),
    Row(
        "clock-ahead",
        "the clock of the leading lookout jumps ahead by 10 minutes",
        (("clock", "leader", "+600"),),
        40,
        NOTHING_S,
        (0, 0),
        untold=_CALM,
        clocks=True,
    ),
    Row(
        "clock-behind",
        "it jumps back by 10 minutes",
        (("clock", "leader", "-600"),),
        40,
        NOTHING_S,
        (0, 0),
        untold=_CALM,
        clocks=True,
    ),
    Row(
        "clock-fast",
        "it runs at 1.1 times its speed",
        (("clock", "leader", "+0 x1.1"),),
        60,
        NOTHING_S,
        (0, 0),
        untold=_CALM,
        clocks=True,
    ),
    Row(
        "disk-of-database",
        "the disk of the primary's PostgreSQL full",
        (("fill-disk", "primary", "database"),),
        30,
        None,
        (0, 1),
        later=1,
        disks=_DISKS,
    ),
    Row(
        "disk-of-log",
        "the same, and its log needs a new file",
        (("fill-disk", "primary", "database"), ("switch-log", "primary")),
        30,
        TIMER_S,
        (1, 1),
        disks=_DISKS,
    ),
    Row(
        "disk-of-standby",
        "the disk of the standby's PostgreSQL full, and the log needs a new file",
        (("fill-disk", "standby", "database"), ("switch-log", "primary")),
        30,
        FIRE_S,
        (0, 0),
        disks=_DISKS,
    ),
    Row(
        "disk-of-etcd",
        "the disk of the witness's etcd full",
        (("fill-disk", "witness", "agreement"),),
        40,
        NOTHING_S,
        (0, 0),
        disks=_DISKS,
    ),
    Row(
        "disks-of-etcd",
        "the disks of all members of etcd full",
        (
            ("fill-disk", "witness", "agreement"),
            ("fill-disk", "standby", "agreement"),
            ("fill-disk", "primary", "agreement"),
        ),
        40,
        None,
        (0, 0),
        later=1,
        disks=_DISKS,
    ),
    Row(
        "disk-of-lookout",
        "the disk of the leading lookout full, with its journal and outbox; then the primary's site cut off",
        (("fill-disk", "leader", "binome"), ("wait", "10"), ("cut", "primary's")),
        20,
        FIRE_S,
        (1, 1),
        told=("takeover by {standby}", "wrong: .*(full|disk|space)"),
        disks=_DISKS,
    ),
    Row(
        "standby-then-primary",
        "the standby lost, then the primary; the standby back without it",
        (
            ("freeze", "standby", "patroni"),
            ("freeze", "standby", "postgresql"),
            ("wait", "30"),
            ("freeze", "primary", "patroni"),
            ("freeze", "primary", "postgresql"),
            ("wait", "10"),
            ("thaw", "standby", "postgresql"),
            ("thaw", "standby", "patroni"),
        ),
        30,
        None,
        (0, 0),
        told=("database.*(no primary|cannot work)|has no primary", "page "),
    ),
)
"""In the order in which they are run."""

_BY_LEASE = (
    "the loss of one member is left to Patroni, which waits for the end of its lease of 20 s; the lookouts name the "
    "cause and page"
)
REMARKS: dict[str, str] = {
    "postgresql-frozen": _BY_LEASE,
    "patroni-frozen": f"{_BY_LEASE}. The edges leave a primary whose Patroni does not answer, so writes wait as well",
    "leader-frozen": "the thawed leader is asked for a maintenance as the first thing: it is carried out by its "
    "successor, and no entry of the journal is of the older generation",
    "etcd-quorum-gone": "Patroni demotes a primary that cannot renew its lease. When the majority is back, whoever is "
    "quicker gets it: both have every write",
    "flap": "in one of two runs, after a takeover in 1.2 s, the new primary's Patroni answered nobody for 22 s, from "
    "its promotion on, and the edges left it. Why is not known yet",
    "standby-then-primary": "`binome status` says that there is no primary and who was it last; it does not say which "
    "acknowledged writes the standby that is back may lack",
    "disk-of-database": "PostgreSQL lives, and refuses what needs room: no member is lost, so nothing is taken over. "
    "Writes flow again when there is room",
    "disk-of-log": "PostgreSQL ends where its log has no room, as after a crash; the standby takes over",
    "disk-of-etcd": "etcd makes the files of its log in advance (64 MB): it needs no room within 40 s, and is not seen "
    "to fail here",
    "disks-of-etcd": "as above",
    "power": "the machine's memory goes on: what was written and not yet synced is there. Real power loss is not shown",
    "clock-ahead": "the clock by which programs wait goes on as it was",
    "clock-fast": "begun twice, and broken off before it had ended: nothing is known of it yet",
    "disk-of-lookout": "it does not hold: within the 20 s of the cut nothing was taken over; the takeover came after "
    "its end, when the disk had room again. A leader that cannot write its own journal should give up the lead",
    "delay-20": "the relay's processor time is the machine's own",
    "one-way": "in the example the primary's server is also a member of etcd; the agreed cause is the server",
}
"""What a reader of the table has to know about a row, by its name."""

NOT_BUILT = (
    (
        "lookout killed after each step of a takeover",
        "the simulation does it: `make sim NIGHTS=takeover`",
    ),
    (
        "a rewind that fails; the burned site with its old data",
        "tests of their own: `tests/drivers/test_patroni_member.py`; fires and nights in the lab",
    ),
    (
        "two sites gone, and a person attests that they are off",
        "a lab test of its own: `tests/lab/test_attested.py`",
    ),
    (
        "agent with a revoked certificate, an older generation, another host",
        "refused, on real connections: `tests/runtime/test_agents.py`; not in the lab",
    ),
    (
        "power lost, with what the machine's memory held of writes",
        "the lab has one kernel, which goes on: what was written is there. The simulation tears writes",
    ),
)
"""Faults that have no row, each with the reason."""
