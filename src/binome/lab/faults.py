"""The faults that a demonstration knows: whom each strikes, how it is done, and how what it broke is mended.

burn            the primary's site burns, its data is gone; later it is rebuilt from nothing
burn-standby    the same, for the site of the standby
cut             the primary's site is cut off and lives on alone; later it is joined again
kill-postgres   the primary's PostgreSQL ends at once, as a crash does; its server and its Patroni live
both            both sites of the database burn with their data; what is left is a copy in a vault (both.py)
switchover      nothing is broken: a person has the database moved, by the command
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from binome.lab import lookouts
from binome.lab.errors import LabError
from binome.lab.lab import Lab
from binome.render import Folders
from binome.render.places import database_places

Fault = Literal["burn", "cut", "burn-standby", "kill-postgres", "switchover", "both"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
ONCE: frozenset[Fault] = frozenset({"both"})
"""Those after which the lab is not as before: they are not done again in it."""
OF_SITES: frozenset[Fault] = frozenset({"burn", "cut", "burn-standby"})
"""Those that take a whole site: the lookouts have something to agree on."""
KEEPS_PRIMARY: frozenset[Fault] = frozenset({"burn-standby"})
"""Those after which nobody has to become primary."""
WORDS: Mapping[Fault, str] = {
    "burn": "burned",
    "cut": "cut off",
    "burn-standby": "burned (it held the standby)",
    "kill-postgres": "lost its PostgreSQL",
    "switchover": "handed over",
    "both": "burned, with all that they held",
}
"""What became of the site, for a heading."""
ANSWERS_WITHIN_S = 30.0
_GOES_ON = 4
"""How `binome switchover` ends where it is not over when its patience is: the plan goes on."""


class Strike:
    """One fault of a lab whose primary is `primary`: `strike` does it, `mend` brings back what it took.

    Raises LabError where the lab has nobody to strike, or nobody to ask.
    """

    def __init__(self, lab: Lab, fault: Fault, primary: str) -> None:
        self._lab, self._fault, self._service = lab, fault, lab.database()
        members = lab.estate.services[self._service].on
        self.victim = primary
        if fault in KEEPS_PRIMARY:
            self.victim = next((member for member in members if member != primary), "")
        if not self.victim:
            raise LabError(f"{self._service} has no standby to lose.")
        self.site = lab.estate.servers[self.victim].site or ""
        self._asked: subprocess.Popen[bytes] | None = None
        self._door = self._leaders_door() if fault == "switchover" else Path()

    @property
    def words(self) -> str:
        """What happens."""
        return {
            "burn": f"{self.site} burns",
            "burn-standby": f"{self.site} burns",
            "cut": f"{self.site} is cut off",
            "kill-postgres": f"PostgreSQL on {self.victim} is killed",
            "switchover": f"a person moves {self._service} away from {self.victim}",
        }[self._fault]

    @property
    def mending(self) -> str:
        """What is done to mend it; empty where nothing is."""
        return {
            "burn": f"{self.site} is rebuilt from nothing",
            "burn-standby": f"{self.site} is rebuilt from nothing",
            "cut": f"{self.site} is joined again",
        }.get(self._fault, "")

    def strike(self) -> None:
        """Does it."""
        match self._fault:
            case "burn" | "burn-standby":
                self._lab.burn(self.site, wipe=True)
            case "cut":
                self._lab.cut(self.site)
            case "kill-postgres":
                os.kill(self._postmaster(), signal.SIGKILL)
            case "switchover":
                self._asked = subprocess.Popen(
                    lookouts.command("switchover", self._service, "--yes", "--socket", str(self._door)),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=os.environ | lookouts.environment(),
                )

    def mend(self) -> None:
        """Brings back what is gone, and waits until the pair is whole. Raises LabError where it does not become so."""
        match self._fault:
            case "burn" | "burn-standby":
                self._lab.rebuild(self.site)
                return
            case "cut":
                self._lab.heal(self.site)
            case "switchover":
                self._answered()
            case "kill-postgres":
                pass  # whoever watches over PostgreSQL mends it
        self._lab.wait_until_whole()

    def _answered(self) -> None:
        if self._asked is None:
            return
        try:
            _, said = self._asked.communicate(timeout=ANSWERS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._asked.kill()
            self._asked.communicate()
            raise LabError(f"`binome switchover` gave no answer within {ANSWERS_WITHIN_S:g} s") from None
        if self._asked.returncode not in (0, _GOES_ON):
            raise LabError(said.decode(errors="replace").strip() or "`binome switchover` failed")

    def _postmaster(self) -> int:
        """The process that all of the primary's PostgreSQL ends with. Raises LabError where there is none."""
        options: Any = self._lab.estate.services[self._service]
        data = Path(database_places(self._service, options, Folders(str(self._lab.root(self.victim)))).data)
        try:
            pid = int((data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            raise LabError(f"no PostgreSQL runs on {self.victim}.") from None
        if pid not in self._lab.pids(self.victim):
            raise LabError(f"{data}/postmaster.pid names a process that is none of {self.victim}'s.")
        return pid

    def _leaders_door(self) -> Path:
        leader = next((name for name, said in self._lab.lookouts().items() if said and said["leads"] is not None), "")
        if not leader:
            raise LabError("no lookout leads; a switchover needs one.")
        return lookouts.door(self._lab.root(leader))
