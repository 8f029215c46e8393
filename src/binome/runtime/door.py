"""The door: a socket on this server by which people's commands reach the running Binôme.

One JSON document a line in, one out. The socket belongs to root. Who may open it may ask for what is admitted
(core/request.py), and can neither stop the lookout nor fill the journal with anything else.

    {"do": "status"}                        the estate at a glance (report.py)
    {"do": "explain", "target": …}          all about one thing that is looked at (explained.py)
    {"do": "attest", "service": …, …}       a person's word where nobody can agree (attest.py)
    {"do": "ask", "request": …, "fact": …}  hands a request to whoever leads, and waits for what comes of it

The answer has one of `answer`, `error` or `busy` (nothing was done), or `unknown` (the request stays, where it came
that far).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from binome.core.entry import Draft
from binome.core.maintenance import CAPABILITY
from binome.core.request import admitted
from binome.runtime.loop import Loop

ANSWER_S = 10.0
ASKED_WITHIN_S = 5.0
LONGEST_BYTES = 64 << 10
AT_ONCE = 32
"""Connections that are served at the same time."""
_LOOK_EVERY_S = 0.05


Shown = Callable[[dict[str, Any]], dict[str, Any] | Awaitable[dict[str, Any]]]
"""Answers a question from what is known here; what takes long is awaited."""
Done = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Does what a person wants, and answers when it has come to an end."""


async def keep_open(path: Path, loop: Loop, shown: Mapping[str, Shown], done: Mapping[str, Done] | None = None) -> None:
    """Serves the socket at `path` until it is cancelled. Raises OSError where that cannot be.

    `shown` are the questions that change nothing, by what they begin with, each with who answers it; `done` those that
    are seen to here, without a leader.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    door = _Door(loop, shown, done or {})
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(door.serve, path, limit=LONGEST_BYTES)
    finally:
        os.umask(before)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        server.close()  # without waiting for clients, who may stay for as long as they like
        door.close()


class _Door:
    def __init__(self, loop: Loop, shown: Mapping[str, Shown], done: Mapping[str, Done]) -> None:
        self._loop = loop
        self._shown, self._done = shown, done
        self._open: set[asyncio.Task[Any] | None] = set()

    def close(self) -> None:
        """Lets go of whoever is being served."""
        for task in self._open:
            if task is not None:
                task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a question, an answer."""
        task = asyncio.current_task()
        self._open.add(task)
        try:
            with suppress(OSError):  # who has gone needs no answer
                if len(self._open) > AT_ONCE:
                    answer = {"busy": f"more than {AT_ONCE} ask at once; nothing was done"}
                else:
                    answer = await self._answer(reader)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
                if "error" in answer or "busy" in answer:
                    await _hear_out(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                line = await reader.readline()
            question = msgspec.json.decode(line, type=dict[str, Any])
            wanted = str(question.get("do"))
            if wanted == "ask":
                return await self._ask(question)
            if wanted in self._done:
                return await self._done[wanted](question)
            if wanted not in self._shown:
                return {"error": f"do: expected one of {', '.join((*self._shown, *self._done, 'ask'))}"}
            found = self._shown[wanted](question)
            return found if isinstance(found, dict) else await found
        except TimeoutError:
            return {"error": f"nothing was asked within {ASKED_WITHIN_S:g} s"}
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return {"error": f"not understood: {error}"}
        except Exception as error:  # the journal was asked to take it, and did not say that it has
            return {"unknown": str(error)}

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
        return {"unknown": self._stands(str(request))}

    def _stands(self, request: str) -> str:
        """What the journal has of a request that nobody has answered in time."""
        plan = self._loop.state.plans.get(f"{CAPABILITY}/{request}")
        if plan is not None:
            trouble = f", {plan.trouble}" if plan.trouble else ""
            return f"its plan is in the journal, {plan.state} at step {plan.position + 1} of {len(plan.steps)}{trouble}"
        if self._loop.journal.has(f"request/{request}"):
            return "the request is in the journal, and goes on; what comes of it is not known yet"
        return "nobody leads who could answer; the request stays, and is answered when somebody does"


async def _hear_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lets somebody end who says too much: a socket that is closed with words unread takes the answer with it."""
    writer.write_eof()
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while await reader.read(LONGEST_BYTES):
                pass
