"""The client: it stops when it is told to, also when it is behind; what nobody answered it does not call done."""

from __future__ import annotations

import asyncio
from pathlib import Path

from binome.lab.clients import Log
from binome.lab.workload import Client, Edge, Settings


def settings(tmp_path: Path, *, patience_s: float = 0.05) -> Settings:
    nobody = (Edge("one", "127.0.0.1"), Edge("two", "127.0.0.1"))
    return Settings("c", str(tmp_path / "c.jsonl"), nobody, 1, 1, 1, "secret", patience_s, workers=1)


def test_a_client_that_is_behind_all_the_time_stops_when_told(tmp_path: Path) -> None:
    async def night() -> None:
        client = Client(settings(tmp_path))
        working = asyncio.ensure_future(client.run())
        while not Log(tmp_path / "c.jsonl").grown():
            await asyncio.sleep(0.01)
        client.stopping.set()
        await asyncio.wait_for(working, 5)

    asyncio.run(night())


def test_a_refused_connection_is_failed_and_each_operation_tries_both_edges(tmp_path: Path) -> None:
    async def night() -> None:
        client = Client(settings(tmp_path))
        working = asyncio.ensure_future(client.run())
        log = Log(tmp_path / "c.jsonl")
        while len(log.records) < 40:
            log.grown()
            await asyncio.sleep(0.01)
        client.stopping.set()
        await working
        log.grown()
        writes = [one for one in log.records if one.operation == "write" and one.id == log.records[0].id]
        assert [(one.attempt, one.edge, one.state) for one in writes] == [
            (1, "one", "sent"), (1, "one", "failed"), (2, "two", "sent"), (2, "two", "failed"),
        ]  # fmt: skip

    asyncio.run(night())


def test_a_server_that_never_answers_leaves_a_fetch_unknown_and_a_write_undone(tmp_path: Path) -> None:
    async def night() -> None:
        silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(3600), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        told = settings(tmp_path)
        client = Client(Settings(**{**_plain(told), "write_port": port, "read_port": port, "web_port": port}))
        working = asyncio.ensure_future(client.run())
        log = Log(tmp_path / "c.jsonl")
        while {"web", "write"} - {one.operation for one in log.records if one.attempt == 2 and one.state != "sent"}:
            log.grown()
            await asyncio.sleep(0.01)
        client.stopping.set()
        await working
        silent.close()
        ends = {(one.operation, one.state) for one in log.records if one.state != "sent"}
        assert ends <= {("web", "unknown"), ("write", "failed"), ("read", "failed")}
        assert ("web", "unknown") in ends and ("write", "failed") in ends

    asyncio.run(night())


def _plain(told: Settings) -> dict[str, object]:
    return {name: getattr(told, name) for name in told.__dataclass_fields__}
