"""The door answers whatever is said to it, and nobody who stands in it keeps others out or the lookout up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from binome.core.plan import Outcome
from binome.runtime import door
from binome.runtime.door import keep_open
from tests.runtime.world import World

FACT = {"kind": "maintenance-asked", "subject": "database", "until_ms": 7_200_000, "why": "disks", "who": "ops-1"}


def ask(request: str, **values: Any) -> bytes:
    fact = {**FACT, "request": request, **values}
    return json.dumps({"do": "ask", "request": request, "fact": fact}).encode() + b"\n"


async def said(path: Path, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    answer: dict[str, Any] = json.loads(await reader.readline())
    writer.close()
    return answer


def night(test: Callable[[World, Path], Awaitable[None]], folder: Path) -> None:
    async def whole() -> None:
        world = World()
        await world.start()
        task = asyncio.ensure_future(
            keep_open(folder / "s", world.loop, {"status": lambda _: {"server": world.loop.name}})
        )
        while not (folder / "s").exists():
            await asyncio.sleep(0)
        await test(world, folder / "s")
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(task, return_exceptions=True)
        await world.crash()

    asyncio.run(whole())


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"junk\n",
        b"\xff\n",
        b"{}\n",
        b'{"do": []}\n',
        b'{"do": "dance"}\n',
        b'{"do": "ask"}\n',
        b'{"do": "ask", "request": "r1", "fact": {"kind": "plan-made", "plan": 1}}\n',
        b'{"do": "ask", "request": "r1", "fact": [3]}\n',
        ask("r1", why="w" * 501),
        b"[" * 60_000 + b"\n",
        b"x" * 300_000 + b"\n",
    ],
)
def test_what_is_not_understood_gets_an_error_and_reaches_no_journal(line: bytes, tmp_path: Path) -> None:
    async def test(world: World, path: Path) -> None:
        assert list(await said(path, line)) == ["error"]
        assert world.kinds() == []
        assert (await said(path, b'{"do": "status"}\n'))["server"] == "par-watch"

    night(test, tmp_path)


def test_on_is_answered_when_the_subject_is_held(tmp_path: Path) -> None:
    async def test(world: World, path: Path) -> None:
        world.hands.holding = asyncio.Event()
        asked = asyncio.ensure_future(said(path, ask("r1")))
        while not world.hands.commands:
            await asyncio.sleep(0.01)
        await world.clock.pass_(1)
        assert not asked.done()
        world.hands.holding.set()
        await asyncio.sleep(0.05)
        await world.clock.pass_(0.1)
        assert await asked == {"answer": "granted"}

    night(test, tmp_path)


def test_what_is_not_known_in_time_is_unknown_with_what_the_journal_has(tmp_path: Path) -> None:
    async def test(world: World, path: Path) -> None:
        world.hands.answers = [Outcome("unknown", "no answer")] * 9
        asked = asyncio.ensure_future(said(path, ask("r1")))
        while not world.hands.commands:
            await asyncio.sleep(0.01)
        await world.clock.pass_(door.ANSWER_S + 1)
        assert await asked == {
            "unknown": "its plan is in the journal, open at step 1 of 2, maintenance.hold: no answer"
        }

    night(test, tmp_path)


def test_who_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ASKED_WITHIN_S", 0.05)

    async def test(_: World, path: Path) -> None:
        assert await said(path, b"") == {"error": "nothing was asked within 0.05 s"}

    night(test, tmp_path)


def test_a_crowd_is_refused_and_does_not_keep_the_door_from_closing(tmp_path: Path) -> None:
    async def test(_: World, path: Path) -> None:
        crowd = [await asyncio.open_unix_connection(path) for _ in range(door.AT_ONCE)]
        assert "at once" in (await said(path, b""))["busy"]
        crowd.pop()[1].close()
        await asyncio.sleep(0.05)
        assert "server" in await said(path, b'{"do": "status"}\n')

    night(test, tmp_path)
