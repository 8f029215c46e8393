"""What is made in turns: the same as at once, and the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from binome.core import scoping
from binome.runtime import report
from binome.runtime.explained import explain, explain_turns
from binome.runtime.report import status, status_turns
from binome.runtime.turns import Turns, in_turns
from tests.runtime.seen import Seen, cut_off, fire, leaderless, well


def beside(turns: Turns[Any]) -> tuple[Any, int]:
    """What the turns make, and how often something else came to its turn meanwhile."""
    count = 0

    async def run() -> Any:
        nonlocal count
        making = asyncio.ensure_future(in_turns(turns))
        while not making.done():
            await asyncio.sleep(0)
            count += 1
        return making.result()

    return asyncio.run(run()), count


@pytest.mark.parametrize("night", [well, fire, leaderless, cut_off])
def test_it_is_the_same_in_turns_and_the_loop_goes_on(night: Callable[[], Seen]) -> None:
    seen = night()
    found, others = beside(status_turns(seen.sources))
    assert found == status(seen.sources)
    assert others >= 4, "between the picture, what is alone, the counts, the sites"
    found, others = beside(explain_turns(seen.sources, "database"))
    assert found == explain(seen.sources, "database")
    assert others >= 2


@pytest.mark.parametrize(("night", "elsewhere"), [(leaderless, True), (cut_off, True), (fire, False)])
def test_causes_of_its_own_view_are_found_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, night: Callable[[], Seen], elsewhere: bool
) -> None:
    seen, where = night(), list[int]()
    provisional = scoping.provisional

    def noted(*given: Any, **named: Any) -> Any:
        where.append(threading.get_ident())
        assert given[1] is not seen.loop.state.scope, "what the loop changes meanwhile is not touched"
        return provisional(*given, **named)

    monkeypatch.setattr(report, "provisional", noted)
    beside(status_turns(seen.sources))
    assert [one != threading.get_ident() for one in where] == [True] * elsewhere


def test_what_fails_is_raised_to_whoever_asks() -> None:
    def fails() -> Turns[int]:
        yield None
        raise ValueError("x")

    def in_a_thread() -> Turns[int]:
        yield lambda: 1 // 0
        return 1

    for turns, error in ((fails(), ValueError), (in_a_thread(), ZeroDivisionError)):
        with pytest.raises(error):
            beside(turns)
