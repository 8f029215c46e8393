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
from binome.estate.model import HaproxyService
from binome.lab import lookouts
from binome.lab.altered import altered
from binome.lab.engines import database_of
from binome.lab.errors import LabError
from binome.lab.lab import Lab
from binome.lab.process import Program
from binome.lab.shell import run
from binome.lab.workload import DATABASE
from binome.render import Folders
from binome.render.places import database_places

PORT = 8000
KEY = "BINOME_LAB_VAULT"
COMMAND_S, SERVED_S = 90.0, 20.0


class Left(NamedTuple):
    """What is left of an estate whose data sites burn, and is enough to begin again.

    `spare` becomes a member of the database, `joins` says of each service who does: an edge stands beside the lookout,
    since it wants the database's own port. `lookout` is where a person says so, beside the member of etcd that goes on.
    `vault` keeps the copies of `backup`, which holds `data`.
    """

    sites: tuple[str, ...]
    spare: str
    joins: dict[str, str]
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
        Left(sites, spare, _joins(estate, spare, lookout), lookout, backup, data, vault)
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


def _joins(estate: Estate, spare: str, lookout: str) -> dict[str, str]:
    return {
        name: lookout if isinstance(one, HaproxyService) else spare
        for name, one in estate.services.items()
        if spare in getattr(one, "spares", ())
    }


class Vaults:
    """The vaults of a lab that is up, and commands with them."""

    def __init__(self, lab: Lab, chosen: Left) -> None:
        self._lab, self._left = lab, chosen
        self._key = os.urandom(18).hex()
        code = lab.folder / "shared" / "src"
        if not code.exists():  # what runs as another user than root must be able to read it
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(Path(binome.__file__).parent, code / "binome", ignore=ignored)

    def serve(self) -> None:
        """Makes the vault, starts what serves it, and waits until it does."""
        vault = self._lab.estate.vaults[self._left.vault]
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        key = self._lab.folder / "vault.key"
        key.touch(mode=0o600)
        key.write_text(self._key)
        run("restic", "init", "--no-cache", "--repo", str(self._folder), "--password-file", str(key))
        address = f"{self._lab.estate.servers[vault.on].address}:{PORT}"
        words = ("rclone", "serve", "restic", "--config=", "--append-only", "--addr", address, str(self._folder))
        log = f"{vault.on}.{self._left.vault}.log"
        self._lab.spawn(vault.on, Program(words), log)

        def lacking() -> list[str]:
            said = (self._lab.folder / "logs" / log).read_bytes()
            return [] if b"erving restic" in said else ["its REST server"]

        self._lab.wait_for(lacking, self._left.vault, SERVED_S)

    def run(self, server: str, *words: str, user: str | None = "postgres") -> dict[str, Any]:
        """Runs one of `binome`'s commands on a server; its answer. Raises LabError where it has none.

        As PostgreSQL's user it gets into the database by its socket; as root (None) it can fence a sandbox off.
        """
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
            user=user,
            environment={
                "PYTHONPATH": os.pathsep.join(paths),
                KEY: self._key,
                "HOME": str(folder),
                "TMPDIR": str(folder),
            },
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

    @property
    def _folder(self) -> Path:
        vault = self._lab.estate.vaults[self._left.vault]
        return self._lab.root(vault.on) / vault.path.strip("/")

    def _text(self, server: str) -> bytes:
        """The lab's estate, as copies are taken and restored on one server: into the one vault that is built."""
        text, estate, name = (self._lab.folder / "estate.yaml").read_bytes(), self._lab.estate, self._left.vault
        address = estate.servers[estate.vaults[name].on].address
        values = {"url": f'"rest:http://{address}:{PORT}/"', "path": str(self._folder), "key": f'"env:{KEY}"'}
        text = altered(text, name, values, "vaults")
        text = altered(text, self._left.backup, {"to": f"[{name}]"}, "backups")
        service = database_of(estate)
        options: Any = estate.services[service]
        sockets = database_places(service, options, Folders(str(self._lab.root(server)))).sockets
        values = {"database": DATABASE, "user": "postgres", "socket": sockets}
        return altered(text, self._left.data, values, "data")


def with_spare(lab: Lab, chosen: Left) -> bytes:
    """The lab's estate once a person has made what is left a member of what burned."""
    text = (lab.folder / "estate.yaml").read_bytes()
    for name, server in chosen.joins.items():
        options: Any = lab.estate.services[name]
        spares = [one for one in options.spares if one != server]
        on = f"[{', '.join([*options.on, server])}]"
        text = altered(text, name, {"on": on, "spares": f"[{', '.join(spares)}]"})
    return text
