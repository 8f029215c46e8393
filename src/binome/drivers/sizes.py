"""How much lies below a folder, once or as it grows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from binome.core.copies import Progress
from binome.ports_of_copies import Tell

EVERY_S = 0.5


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder; what vanishes meanwhile counts nothing."""
    total, ahead = 0, [str(folder)]
    while ahead:
        with suppress(OSError), os.scandir(ahead.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


@asynccontextmanager
async def polled(folder: Path, what: str, total_bytes: int | None, tell: Tell) -> AsyncIterator[None]:
    """Tells how a folder grows while something writes there; the whole at the end."""

    async def look() -> None:
        while True:
            tell(Progress(what, await asyncio.to_thread(size_of, folder), total_bytes))
            await asyncio.sleep(EVERY_S)

    looking = asyncio.create_task(look())
    try:
        yield
        tell(Progress(what, await asyncio.to_thread(size_of, folder), total_bytes))
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
