"""The judge is judged first: logs with a planted loss, a planted double, a planted gap."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.lab.checker import check, outage, outages, unanswered
from binome.lab.record import LogError, Record, State, parse

SENT = Record(0.0, "write", "a", 1, "gra-edge", "sent")


def write(id_: str, at_s: float, state: State, *, attempt: int = 1, timeline: int = 1) -> list[Record]:
    sent = replace(SENT, id=id_, at_s=at_s, attempt=attempt)
    end = replace(sent, at_s=at_s + 0.001, state=state, timeline=timeline if state == "acknowledged" else 0)
    return [sent] if state == "sent" else [sent, end]


def steady(count: int, timeline: int = 1, begin_s: float = 0.0) -> list[Record]:
    """One acknowledged write every 10 ms."""
    return [
        record
        for number in range(count)
        for record in write(f"t{timeline}-{number}", begin_s + number / 100, "acknowledged", timeline=timeline)
    ]


def ids(records: list[Record]) -> set[str]:
    return {record.id for record in records}


def test_all_is_well() -> None:
    log = steady(50) + steady(50, timeline=2, begin_s=5)
    evidence = check(log, ids(log))
    assert (evidence.acknowledged, evidence.lost, evidence.double_primary) == (100, (), ())
    assert (evidence.unknown_found, evidence.unknown_missing) == (0, 0)


def test_a_planted_loss_is_found() -> None:
    log = steady(50)
    assert check(log, ids(log) - {"t1-17", "t1-30"}).lost == ("t1-17", "t1-30")


def test_a_planted_double_is_found() -> None:
    log = steady(50) + steady(50, timeline=2, begin_s=5) + write("late", 5.2, "acknowledged", timeline=1)
    assert check(log, ids(log)).double_primary == ("late",)


def test_two_servers_on_one_timeline_are_a_double() -> None:
    def by(server: str, records: list[Record]) -> list[Record]:
        return [replace(record, server=server) for record in records]

    first, second = by("10.0.0.1", steady(10)), by("10.0.0.2", write("beside", 0.05, "acknowledged"))
    assert check([*first, *second], ids(first + second)).double_primary == ("beside",)
    assert check(first, ids(first)).double_primary == ()


def test_operations_in_vain_are_counted() -> None:
    log = [*steady(5), *write("a", 1, "failed"), *write("b", 2, "unknown"), *write("b", 3, "acknowledged", attempt=2)]
    assert unanswered(log) == {"write": 1, "read": 0, "web": 0}


def test_a_double_is_found_across_the_logs_of_two_clients() -> None:
    first, second = steady(10, timeline=2, begin_s=5), write("other", 5.05, "acknowledged", timeline=1)
    assert check([*second, *first], ids(first + second)).double_primary == ("other",)


@pytest.mark.parametrize(
    ("attempts", "counts"),
    [
        (["unknown"], "unknown"),
        (["sent"], "unknown"),  # the client died before an answer came
        (["failed", "unknown"], "unknown"),
        (["unknown", "failed"], "unknown"),
        (["failed"], "nothing"),
        (["failed", "failed"], "nothing"),
        (["unknown", "acknowledged"], "acknowledged"),
    ],
)
def test_what_a_write_counts_as(attempts: list[State], counts: str) -> None:
    log = [
        record
        for attempt, state in enumerate(attempts, 1)
        for record in write("a", float(attempt), state, attempt=attempt)
    ]
    there, gone = check(log, {"a"}), check(log, set())
    assert (there.acknowledged, len(gone.lost)) == ((1, 1) if counts == "acknowledged" else (0, 0))
    assert (there.unknown_found, gone.unknown_missing) == ((1, 1) if counts == "unknown" else (0, 0))


def test_a_planted_gap_is_found() -> None:
    log = steady(100) + steady(100, timeline=2, begin_s=4.0)
    gap = outage(log, "write")
    assert gap.begin_s == pytest.approx(0.991)
    assert gap.end_s == pytest.approx(4.001)


def test_silence_at_the_end_is_an_outage() -> None:
    log = [*steady(100), *write("z", 20.0, "failed")]
    assert outages(log)["write"] == pytest.approx(20.001 - 0.991, abs=0.001)


def test_an_operation_that_never_answered_was_out_all_the_time() -> None:
    assert outages(steady(100))["web"] == pytest.approx(0.991, abs=0.001)


def test_no_records_no_outage() -> None:
    assert outages([]) == {"write": 0, "read": 0, "web": 0}


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["acknowledged", "failed", "unknown"]))),
    st.sets(st.sampled_from("abcde")),
)
def test_every_write_is_counted_once(ends: list[tuple[str, State]], held: set[str]) -> None:
    log = [record for at, (id_, state) in enumerate(ends) for record in write(id_, float(at), state, attempt=at)]
    evidence = check(log, held)
    surely_nothing = {id_ for id_, _ in ends} - {id_ for id_, state in ends if state != "failed"}
    counted = evidence.acknowledged + evidence.unknown_found + evidence.unknown_missing + len(surely_nothing)
    assert counted == len({id_ for id_, _ in ends})
    assert set(evidence.lost) == {id_ for id_, state in ends if state == "acknowledged"} - held


def test_records_are_read_as_they_were_written() -> None:
    records = [*steady(3), replace(SENT, state="unknown", error="no answer in time")]
    assert list(parse([record.line() for record in records], "log")) == records


def test_a_torn_last_line_is_passed_over() -> None:
    lines = [record.line() for record in steady(2)]
    assert len(list(parse([*lines, lines[0][:20]], "log"))) == 4


def test_a_broken_line_is_named() -> None:
    lines = [record.line() for record in steady(2)]
    with pytest.raises(LogError, match=r"^log:3: not a record"):
        list(parse([*lines[:2], b"{}\n", *lines[2:]], "log"))
