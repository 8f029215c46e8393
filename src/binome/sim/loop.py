"""An event loop in virtual time: where nothing is ready, the time jumps to the next timer.

The production code is written with asyncio; this loop lets it run without a clock, a thread or a selector, always in
the same order. Callbacks belong to a *process*: the one in whose context they were scheduled. A process that is paused
gets its callbacks when it is thawed, as after SIGSTOP; one that is dead never does, as after SIGKILL: not even its
`finally` blocks run, because a machine that lost its power ran none. What belongs to nobody is the world itself.

Each process has a clock of its own, and `loop.time` and the timers of asyncio go by it: a process whose clock runs
slow sleeps long.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol

SPINNING = 20_000
"""So many callbacks at one moment of virtual time: somebody waits for something without letting the time pass."""


class Owner(Protocol):
    """What the loop must know of a process."""

    name: str
    paused: bool
    dead: bool
    frozen: list[asyncio.Handle]

    def local_s(self, now_s: float) -> float:
        """Its monotonic clock at a moment of the world's time."""

    def world_s(self, local_s: float) -> float:
        """The moment of the world's time at which its monotonic clock shows that."""


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


class KilledError(BaseException):
    """Raised inside a process at the very line where it dies. Nothing of production catches it."""


class SpinningError(Exception):
    """The time stands still while callbacks follow one another without end."""


class _Timer(asyncio.TimerHandle):
    """A timer that knows whose it is."""

    __slots__ = ("owner",)
    owner: Owner | None


class _Soon(asyncio.Handle):
    """A callback that knows whose it is."""

    __slots__ = ("owner",)
    owner: Owner | None


class SimulationLoop(asyncio.AbstractEventLoop):
    """The loop. `ran` is told of every callback, with its owner's name: the material of the trace's hash."""

    def __init__(self, ran: Callable[[float, str], None] = lambda _now_s, _name: None) -> None:
        self.now_s = 0.0
        self.mishaps: list[tuple[float, str, str]] = []  # time, process, what it did not catch
        self._ran = ran
        self._world = Context()  # a context in which nobody is the owner
        self._ready: deque[_Soon | _Timer] = deque()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._closed = False
        self._at_this_moment = 0

    # -- what the world uses

    def at(self, when_s: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Calls back at a moment of the world's time, as the world."""
        return self._timer(max(when_s, self.now_s), callback, args, self._world, None)

    def after(self, delay_s: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Calls back after so much of the world's time, as the world."""
        return self.at(self.now_s + delay_s, callback, *args)

    def spawn(self, owner: Owner | None, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begins a task that belongs to a process, or to the world."""
        context = Context()
        context.run(OWNER.set, owner)
        return context.run(self.create_task, work)

    def thaw(self, handles: list[asyncio.Handle]) -> None:
        """Gives a process the callbacks that it missed while it was paused."""
        self._ready.extend(handles)  # type: ignore[arg-type]

    def run_until(self, until_s: float) -> None:
        """Lets everything happen up to a moment of the world's time. Raises SpinningError."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            self._run_until(until_s)
        finally:
            events._set_running_loop(before)

    def _run_until(self, until_s: float) -> None:
        ready, timers = self._ready, self._timers
        while True:
            while ready:
                self._run_one(ready.popleft())
            if not timers or timers[0][0] > until_s:
                break
            when_s, _, timer = heapq.heappop(timers)
            if not timer.cancelled():
                if when_s > self.now_s:
                    self.now_s, self._at_this_moment = when_s, 0
                ready.append(timer)
        self.now_s = max(self.now_s, until_s)

    def _run_one(self, handle: _Soon | _Timer) -> None:
        if handle.cancelled():
            return
        owner = handle.owner
        if owner is not None and (owner.dead or owner.paused):
            owner.frozen.append(handle)
            return
        self._at_this_moment += 1
        if self._at_this_moment > SPINNING:
            raise SpinningError(f"{owner.name if owner else 'the world'} spins at {self.now_s:.6f} s")
        self._ran(self.now_s, owner.name if owner else "")
        handle._run()

    def dispose(self) -> None:
        """Lets go of all tasks, without running them to any end that could be seen."""
        self._closed = True
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(Exception, KilledError):
                    work = task.get_coro()
                    if isinstance(work, (Coroutine, Generator)):
                        work.close()
        self._tasks.clear()
        self._ready.clear()
        self._timers.clear()

    # -- what asyncio uses

    def time(self) -> float:
        owner = OWNER.get()
        return self.now_s if owner is None else owner.local_s(self.now_s)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Soon(callback, args, self, context or copy_context())
        handle.owner = OWNER.get() if context is None else context.get(OWNER)
        if not self._closed:
            self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        owner = OWNER.get() if context is None else context.get(OWNER)
        # Whole microseconds, rounded up: a sleep of the smallest remainder must let some time pass.
        world_s = when if owner is None else math.ceil(owner.world_s(when) * 1e6) / 1e6
        return self._timer(max(world_s, self.now_s), callback, args, context or copy_context(), owner)

    def _timer(
        self,
        when_s: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
        owner: Owner | None,
    ) -> asyncio.TimerHandle:
        timer = _Timer(when_s, callback, args, self, context)
        timer.owner = owner
        if not self._closed:
            self._count += 1
            heapq.heappush(self._timers, (when_s, self._count, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name or "", context=context)
        if len(self._tasks) > 512:
            self._tasks = [one for one in self._tasks if not one.done()]
        self._tasks.append(task)  # a dead process's tasks must not be collected, or their `finally` blocks would run
        return task

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """What a thread would do is done at once, in the next turn."""

        async def work() -> Any:
            return func(*args)

        return self.create_task(work())

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        owner = OWNER.get()
        error = context.get("exception")
        if isinstance(error, KilledError):
            return  # how a process dies in the middle of a line is no mishap
        told = f"{context.get('message')}: {type(error).__name__}: {error}"
        self.mishaps.append((self.now_s, owner.name if owner else "", told))

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._closed

    def is_closed(self) -> bool:
        return self._closed


def new_loop(ran: Callable[[float, str], None] = lambda _now_s, _name: None) -> SimulationLoop:
    """A loop at the beginning of time. What it leaves out of asyncio's loop would need a world outside."""
    return SimulationLoop(ran)  # type: ignore[abstract]
