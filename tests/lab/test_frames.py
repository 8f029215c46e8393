"""Programs that lose frames, run by a small machine of their own; and the rows of the matrix, and their judgement."""

from __future__ import annotations

import pytest

from binome.lab.frames import Loss, both_ways, program

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER, RANDOM = 2, 0xFFFFF038


def is_dropped(text: str, destination: int, *drawn: int) -> bool:
    """Whether the program drops a frame for this number; what it draws comes from `drawn`."""
    count, *words = text.split(",")
    instructions = [tuple(map(int, word.split(" "))) for word in words]
    assert int(count) == len(instructions)
    loaded, at, numbers = 0, 0, iter(drawn)
    while True:
        code, if_so, if_not, operand = instructions[at]
        at += 1
        if code == RETURN:
            return {2: True, 0xFFFFFFFF: False}[operand]
        if code == LOAD:
            loaded = {NUMBER: lambda: destination, RANDOM: lambda: next(numbers)}[operand]()
        else:
            at += if_so if {EQUAL: loaded == operand, AT_LEAST: loaded >= operand}[code] else if_not


def test_only_what_goes_to_the_named_is_lost() -> None:
    text = program([(3, 100), (0, 100)])
    assert [number for number in range(6) if is_dropped(text, number)] == [0, 3]
    assert not any(is_dropped(program([]), number) for number in range(6))


def test_a_share_is_lost_by_the_number_that_is_drawn() -> None:
    text = program([(3, 25), (4, 100)])
    quarter = 2**30
    assert is_dropped(text, 3, quarter - 1)
    assert not is_dropped(text, 3, quarter)
    assert not is_dropped(text, 3, 2**32 - 1)
    assert is_dropped(text, 4), "the rules after it are still asked"
    assert not is_dropped(text, 5), "and draw nothing for others"


@pytest.mark.parametrize("percent", [99.99999999, 1e-9])
def test_a_share_is_never_all_and_never_out_of_range(percent: float) -> None:
    assert not is_dropped(program([(1, percent)]), 1, 2**32 - 1)


def test_a_link_is_lost_in_both_directions() -> None:
    assert set(both_ways(["a", "b"], ["c"], 30)) == {
        *(Loss("a", "c", 30), Loss("c", "a", 30)),
        *(Loss("b", "c", 30), Loss("c", "b", 30)),
    }
