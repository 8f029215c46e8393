"""Takeover on real engines: what the hands take, and what clients see, 0.35 s after a site is gone.

    sudo .venv/bin/python bench/takeover.py [--repeat N] [--standby] [--routes] [--race] [--leader-burns]

Figures are min / median / max in seconds from the fault, of one run on this machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.lab import fires  # noqa: E402
from tests.lab.conftest import ENGINES_ALONE  # noqa: E402

from binome.lab.clients import prepare_ledger  # noqa: E402 - of this checkout
from binome.lab.guard import passing_lab  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--standby", action="store_true", help="the standby's site burns, not the primary's")
    parser.add_argument("--routes", action="store_true", help="make the lost site unreachable first")
    parser.add_argument("--race", action="store_true", help="delete the leader's key instead of handing it over")
    parser.add_argument("--leader-burns", action="store_true", help="etcd's leader stands in the fire")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        print("a lab needs root: skipped")
        return
    found = []
    with passing_lab(ENGINES_ALONE) as lab:
        prepare_ledger(lab)
        for number in range(asked.repeat):
            one = fires.fire(
                lab,
                f"fire{number}",
                standby=asked.standby,
                routes=asked.routes,
                race=asked.race,
                leader_burns=asked.leader_burns,
            )
            found.append(one)
            print(
                f"{number}: {one.ended_s} {one.took_s} writes {one.writes_s} reads {one.reads_s} web {one.web_s} "
                f"acknowledged {one.evidence.acknowledged} lost {len(one.evidence.lost)} "
                f"double {len(one.evidence.double_primary)} {one.results} {one.details}",
                flush=True,
            )
    verb = "database.release" if asked.standby else "database.takeover"
    print(f"{verb} done after  {fires.summary([one.ended_s[verb] for one in found])}")
    for client in ("impatient", "patient"):
        print(f"writes down, {client:9}  {fires.summary([one.writes_s[client] for one in found])}")
        print(f"reads down,  {client:9}  {fires.summary([one.reads_s[client] for one in found])}")
        print(f"web down,    {client:9}  {fires.summary([one.web_s[client] for one in found])}")
    lost = sum(len(one.evidence.lost) for one in found)
    print(f"lost {lost}, double {sum(len(one.evidence.double_primary) for one in found)}")


if __name__ == "__main__":
    main()
