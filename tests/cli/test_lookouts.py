"""A lookout among the others, as `binome run` assembles it: what it says while it cannot hear them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from binome.cli import lookouts
from binome.cli.lookouts import Lookouts
from binome.cli.main import app
from binome.estate import load
from binome.render import Folders
from binome.runtime.clock import SystemClock
from binome.runtime.report import status
from tests.cli.test_door_commands import Door
from tests.runtime.authorities import ca, put
from tests.runtime.lookouts import FILE, until
from tests.runtime.seen import well


def night(folder: Path, test: Callable[[Lookouts], Awaitable[None]], old: str = "", new: str = "") -> None:
    async def whole() -> None:
        one = Lookouts(load(FILE.replace(old, new).encode()), "a", Folders(str(folder)), SystemClock())
        running = asyncio.ensure_future(one.run())
        await test(one)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(whole())


def test_without_an_identity_it_says_so_and_takes_one_when_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookouts, "LOOK_AGAIN_S", 0.02)
    authority, tls = ca(tmp_path / "ca"), Path(Folders(str(tmp_path)).tls)

    async def test(one: Lookouts) -> None:
        await until(lambda: bool(one.problems()))
        assert one.problems() == [
            f"a has no identity, so no other lookout hears it: {tls}/ca.pem: No such file or directory.  "
            "Make one: binome ca issue a"
        ]
        assert one.shown() == []
        put(authority, tls, "b")
        await until(lambda: "this is the identity of b of littoral, not of a" in one.problems()[0])
        put(authority, tls, "a")
        await until(lambda: one.peers is not None)
        assert [peer["peer"] for peer in one.shown()] == ["b", "c"]
        assert not any("identity" in problem for problem in one.problems())

    night(tmp_path, test)


def test_without_an_address_it_says_so_and_binome_goes_on(tmp_path: Path) -> None:
    async def test(one: Lookouts) -> None:
        await until(lambda: bool(one.problems()))
        assert "c has no address" in one.problems()[0]

    night(tmp_path, test, ", address: 10.0.0.3", "")


def test_status_shows_who_is_heard_and_who_is_silent_and_why(tmp_path: Path) -> None:
    door = Door(tmp_path / "s")
    silent = {"silent": True, "silent_ms": 12_400}
    peers = [
        {"peer": "gra-edge", "heard_ms": None, "why": "", **silent},
        {"peer": "sbg-edge", "heard_ms": 12_400, "why": "no connection\x1b[2J in time", **silent},
        {"peer": "ams-vault", "heard_ms": 64, "silent": False, "silent_ms": None, "why": ""},
    ]
    door.answer = {**status(well().sources), "peers": peers}
    result = CliRunner().invoke(app, ["status", "--socket", str(door.path)], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if "lookout " in line and "lead" not in line]
    assert lines == [
        "gravelines   8 of 8 up   lookout gra-edge: never heard",
        "strasbourg   8 of 8 up   lookout sbg-edge: silent for 12 s (no connection\ufffd[2J in time)",
    ]
