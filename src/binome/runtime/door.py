"""The door: a socket on this server by which people's commands reach the running Binôme.

One JSON document a line in, one out. The socket belongs to root: who may open it may ask for anything.

    {"do": "status"}                        who leads, what is planned, what is wrong
    {"do": "ask", "request": …, "fact": …}  hands a request to whoever leads, and waits for the answer
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from binome.core.entry import Draft
from binome.core.request import admitted
from binome.ports import AppendUnknownError, StoreError
from binome.runtime.loop import Loop

ANSWER_S = 10.0
_LOOK_EVERY_S = 0.05


async def keep_open(path: Path, loop: Loop, problems: Callable[[], list[str]]) -> None:
    """Serves the socket at `path` until it is cancelled. Raises OSError where that cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    door = _Door(loop, problems)
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(door.serve, path)
    finally:
        os.umask(before)
    async with server:
        await server.serve_forever()


class _Door:
    def __init__(self, loop: Loop, problems: Callable[[], list[str]]) -> None:
        self._loop = loop
        self._problems = problems
        self._answers: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "status": self._status,
            "ask": self._ask,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a question, an answer."""
        try:
            question = msgspec.json.decode(await reader.readline(), type=dict[str, Any])
            answer = await self._answers[question["do"]](question)
        except (msgspec.DecodeError, KeyError, ValueError) as error:
            answer = {"error": f"not understood: {error}"}
        except (StoreError, AppendUnknownError) as error:
            answer = {"unknown": str(error)}
        writer.write(msgspec.json.encode(answer) + b"\n")
        await writer.drain()
        writer.close()

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        state = self._loop.state
        return {
            "server": self._loop.name,
            "leads": self._loop.journal.generation,
            "leader": state.leader,
            "generation": state.head.generation,
            "entries": state.head.sequence,
            "problems": self._problems(),
            "plans": [
                {
                    "plan": one.id,
                    "capability": one.capability,
                    "subject": one.subject,
                    "state": one.state,
                    "why": one.why,
                    "until_ms": one.steps[-1].not_before_ms,
                }
                for one in state.plans.values()
            ],
        }

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        clock, request = self._loop.clock, question.get("request")
        fact = admitted(request, question.get("fact"))
        await self._loop.journal.submit(Draft(f"request/{request}", clock.now_ms(), self._loop.name, fact))
        until_s = clock.monotonic_s() + ANSWER_S
        while clock.monotonic_s() < until_s:
            answer = self._loop.state.answers.get(str(request))
            if answer is not None:
                return {"answer": answer}
            await clock.sleep(_LOOK_EVERY_S)
        return {"unknown": "nobody leads who could answer; the request stays, and is answered when somebody does"}
