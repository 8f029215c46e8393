"""Turns: a long answer made in parts, between which the loop goes on with everything else.

Who makes it is a generator. It yields nothing where the loop may go on, or a function that takes long and touches
nothing that the loop changes: that is called in a thread, and what it gives is sent back. So a lookout of ten thousand
targets is never held up by whoever asks how it is. What is told may have changed meanwhile, and each part is true of
its own moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, TypeVar

Made = TypeVar("Made")

Turns = Generator[Callable[[], Any] | None, Any, Made]
"""Makes something in parts."""


def at_once(turns: Turns[Made]) -> Made:
    """What they make, without letting anything else in."""
    try:
        wanted = next(turns)
        while True:
            wanted = turns.send(wanted() if wanted is not None else None)
    except StopIteration as made:
        found: Made = made.value
        return found


async def in_turns(turns: Turns[Made]) -> Made:
    """What they make, with all else that the loop does in between."""
    try:
        wanted = next(turns)
        while True:
            if wanted is None:
                await asyncio.sleep(0)
            wanted = turns.send(await asyncio.to_thread(wanted) if wanted is not None else None)
    except StopIteration as made:
        found: Made = made.value
        return found
