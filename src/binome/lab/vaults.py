"""The vaults of a lab, and the commands by which copies are taken and restored on its servers.

A vault is a restic repository on its server, which others reach through `rclone serve restic --append-only`, as they
would a real one. The lab's copy of the estate says so: other places, another key, and of the data that the clients
write to, how PostgreSQL's own user reaches it on a server.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import binome
from binome.estate import Estate
from binome.lab import lookouts
from binome.lab.altered import altered
from binome.lab.engines import database_of
from binome.lab.errors import LabError
from binome.lab.lab import Lab
from binome.lab.process import Program
from binome.lab.workload import DATABASE
from binome.render import Folders
from binome.render.places import database_places

PORT = 8000
KEY = "BINOME_LAB_VAULT"
COMMAND_S = 60.0


class Left(NamedTuple):
    """What is left of an estate whose data sites burn, and is enough to begin again.

    `spare` becomes a member of `services`; `lookout` is where a person says so, beside the member of etcd that goes on;
    `vault` keeps the copies of `backup`, which holds `data`.
    """

    sites: tuple[str, ...]
    spare: str
    services: tuple[str, ...]
    lookout: str
    backup: str
    data: str
    vault: str


def left(estate: Estate) -> Left:
    """What is left where all sites of the database burn. Raises LabError where that is not enough."""
    name = database_of(estate)
    service: Any = estate.services[name]
    sites = tuple(dict.fromkeys(estate.servers[one].site or "" for one in service.on))
    living = [one for one, server in estate.servers.items() if server.site not in sites]
    voters = {one for need in service.needs for one in getattr(estate.services[need], "on", ()) if one in living}
    spare = next((one for one in service.spares if one in living), "")
    lookout = next((one for one in lookouts.names(estate) if one in voters), "")
    kept = [
        Left(sites, spare, _taken_over(estate, spare), lookout, backup, data, vault)
        for backup, one in estate.backups.items()
        for data in one.of
        for vault in one.to
        if one.method == "dump" and estate.data[data].in_ == name
        if estate.vaults[vault].kind == "restic" and estate.vaults[vault].on in living
    ]
    lacking = [
        words
        for words, there in (
            ("a spare of the database", spare),
            ("a lookout beside a member of etcd", lookout),
            ("a restic vault with dumps of the database", kept),
        )
        if not there
    ]
    if lacking:
        burned = " and ".join(sites)
        raise LabError(f"{estate.estate} has nothing outside of {burned} to begin again from: {', '.join(lacking)}.")
    return min(kept, key=lambda one: estate.servers[estate.vaults[one.vault].on].site != estate.servers[spare].site)


def _taken_over(estate: Estate, spare: str) -> tuple[str, ...]:
    return tuple(name for name, one in estate.services.items() if spare in getattr(one, "spares", ()))


class Vaults:
    """The vaults of a lab that is up, and commands with them."""

    def __init__(self, lab: Lab, chosen: Left) -> None:
        self._lab, self._left = lab, chosen
        self._key = os.urandom(18).hex()
        self._names = [
            name for name in lab.estate.backups[chosen.backup].to if lab.estate.vaults[name].kind == "restic"
        ]
        code = lab.folder / "shared" / "src"
        if not code.exists():  # what runs as another user than root must be able to read it
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(Path(binome.__file__).parent, code / "binome", ignore=ignored)

    def serve(self) -> None:
        """Starts what serves the vaults, and waits until it does."""
        for name in self._names:
            server = self._lab.estate.vaults[name].on
            folder = self._folder(name)
            folder.mkdir(parents=True, exist_ok=True)
            address = f"{self._lab.estate.servers[server].address}:{PORT}"
            words = ("rclone", "serve", "restic", "--config=", "--append-only", "--addr", address, str(folder))
            self._lab.spawn(server, Program(words), f"{server}.{name}.log")
            log = self._lab.folder / "logs" / f"{server}.{name}.log"
            serves = lambda log=log: [] if b"erving restic" in log.read_bytes() else ["its REST server"]  # noqa: E731
            self._lab.wait_for(serves, name, 20)

    def run(self, server: str, *words: str) -> dict[str, Any]:
        """Runs one of `binome`'s commands on a server as PostgreSQL's user; its answer. Raises LabError if it fails."""
        folder = self._lab.root(server) / "var" / "tmp"
        if not folder.exists():
            folder.mkdir(parents=True)
            shutil.chown(folder, "postgres", "postgres")
        estate = self._lab.folder / f"estate-{server}.yaml"
        estate.write_bytes(self._text(server))
        shared = self._lab.folder / "shared"
        paths = [str(shared / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        program = Program(
            (
                str(shared / "venv" / "bin" / "python"),
                *("-m", "binome.cli.entry", *words, "--json", "--as", server, "--estate", str(estate)),
                *("--scratch", str(folder)),
            ),
            user="postgres",
            environment={"PYTHONPATH": os.pathsep.join(paths), KEY: self._key, "HOME": str(folder)},
        )
        name = f"{server}.{'-'.join(words[:2])}.log"
        log = self._lab.folder / "logs" / name
        log.unlink(missing_ok=True)
        process = self._lab.spawn(server, program, name)
        try:
            code = process.wait(COMMAND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise LabError(f"`binome {' '.join(words)}` did not end within {COMMAND_S:g} s") from None
        text = log.read_text(errors="replace")
        begin = text.find("{\n")
        if code not in (0, 1) or begin < 0:
            raise LabError(f"`binome {' '.join(words)}` on {server} ended with {code}: {text.strip()[-500:]}")
        answer: dict[str, Any] = json.JSONDecoder().raw_decode(text[begin:])[0]
        return answer

    def _folder(self, name: str) -> Path:
        vault = self._lab.estate.vaults[name]
        return self._lab.root(vault.on) / vault.path.strip("/")

    def _text(self, server: str) -> bytes:
        """The lab's estate, as copies are taken and restored on one server."""
        text, estate = (self._lab.folder / "estate.yaml").read_bytes(), self._lab.estate
        for name in self._names:
            address = estate.servers[estate.vaults[name].on].address
            values = {
                "url": f'"rest:http://{address}:{PORT}/"',
                "path": str(self._folder(name)),
                "key": f'"env:{KEY}"',
            }
            text = altered(text, name, values, "vaults")
        service = database_of(estate)
        options: Any = estate.services[service]
        sockets = database_places(service, options, Folders(str(self._lab.root(server)))).sockets
        values = {"database": DATABASE, "user": "postgres", "socket": sockets}
        return altered(text, self._left.data, values, "data")


def with_spare(lab: Lab, chosen: Left) -> bytes:
    """The lab's estate once a person has made the spare a member of what it is a spare of."""
    text = (lab.folder / "estate.yaml").read_bytes()
    for name in chosen.services:
        options: Any = lab.estate.services[name]
        spares = [one for one in options.spares if one != chosen.spare]
        on = f"[{', '.join([*options.on, chosen.spare])}]"
        text = altered(text, name, {"on": on, "spares": f"[{', '.join(spares)}]"})
    return text
