"""The same fire with bare Patroni and with Binôme, in one run: how many times sooner writes flow again.

    sudo .venv/bin/python bench/fire.py [--repeat N] [--bare N]

    documented defaults   ttl 30, loop_wait 10, retry_timeout 10
    quickest allowed      ttl 20, loop_wait 1, retry_timeout 3: what Patroni 4 raises anything smaller to
    Binôme                the example estate with act_after 350 ms; Patroni's own timers as in the row above

The primary's site burns under load, data wiped; etcd's leader stands elsewhere. The bare ones have neither lookouts nor
agents; their etcd, HAProxy and PostgreSQL are set as ours, which is better than what they would have by themselves.
Figures are least / median / greatest in seconds from the fault, ratios are of medians. About six minutes.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "bench")]

import goals  # noqa: E402
from tests.lab.conftest import ENGINES_ALONE, LITTORAL  # noqa: E402
from tests.lab.fires import agreement_led_by  # noqa: E402

from binome.lab import inside, runs  # noqa: E402 - of this checkout
from binome.lab.altered import altered  # noqa: E402
from binome.lab.clients import prepare_ledger  # noqa: E402
from binome.lab.demo import Event, Outcome, Scene, View, demonstrate  # noqa: E402
from binome.lab.guard import passing_lab  # noqa: E402
from binome.lab.lab import Lab  # noqa: E402
from binome.lab.repeat import repeat, settle  # noqa: E402
from binome.render.places import PATRONI_PORT  # noqa: E402

DEFAULTS = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}
QUICKEST = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3}
WITNESS = "par-watch"
GOALS = {"documented defaults": 20, "quickest allowed": 15}
SHOWN = ("new_primary_s", "writes_down_impatient_s", "writes_down_patient_s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=3, help="fires with Binôme")
    parser.add_argument("--bare", type=int, default=2, help="fires with each of the bare ones")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        print("a lab needs root: skipped")
        return
    found = {
        "documented defaults": bare(DEFAULTS, asked.bare),
        "quickest allowed": bare(QUICKEST, asked.bare),
        "Binôme": ours(asked.repeat),
    }
    seen = {name: runs.figures(some) for name, some in found.items()}
    for name, some in found.items():
        for key in SHOWN:
            one = seen[name][key]
            words = f"{one['min']:.2f} / {one['median']:.2f} / {one['max']:.2f}" if one else "never"
            print(f"{name:20} {key:24} {words}  n = {one['n'] if one else 0}")
        lost, double = sum(one["lost"] for one in some), sum(one["double_primary"] for one in some)
        print(f"{name:20} lost {lost}, double {double}")
    for name, goal in GOALS.items():
        for key in SHOWN:
            theirs, own = seen[name][key], seen["Binôme"][key]
            if theirs and own:
                ratio = theirs["median"] / own["median"]
                what = f"{name} / Binôme, {key}"
                print(f"{what}: {ratio:.1f} {goals.at_least(what, ratio, goal)}")
    goals.end()


def bare(settings: Mapping[str, int], times: int) -> list[runs.Run]:
    """Fires with Patroni alone, set like this."""
    found = []
    with passing_lab(ENGINES_ALONE) as lab:
        prepare_ledger(lab)
        for number in range(times):
            configure(lab, settings)
            settle(lab)
            agreement_led_by(lab, WITNESS)
            view = View(lab.estate.estate, "burn")
            found.append(told(lab, number + 1, demonstrate(lab, view, say, Scene(f"{number}-", 3.0))))
    return found


def ours(times: int) -> list[runs.Run]:
    """The same fires with lookouts and agents."""
    text = altered(LITTORAL.read_bytes(), "database", {"act_after": "350ms", "cooldown": "1s"})
    with passing_lab(text) as lab:
        series = repeat(lab, times, View(lab.estate.estate, "burn"), say)
        return [told(lab, number, one) for number, one in enumerate(series.outcomes, 1)]


def configure(lab: Lab, settings: Mapping[str, int]) -> None:
    """Patroni's timers as they are kept in etcd; waits until the leader's lease has the new length."""
    primary = lab.primary(lab.database())
    address = lab.estate.servers[primary].address or ""
    inside.ask(primary, (address, PATRONI_PORT), "/config", body=dict(settings), method="PATCH", timeout_s=5)
    lab.wait_for(
        lambda: (
            [] if (seen := lease_ttl_s(lab)) == settings["ttl"] else [f"a lease of {settings['ttl']} s, not {seen}"]
        ),
        "Patroni",
        60,
    )


def lease_ttl_s(lab: Lab) -> int | None:
    """How long the leader's lease was granted for."""
    key = base64.b64encode(b"/service/littoral/leader").decode()
    said = lab.ask_etcd(WITNESS, "/v3/kv/range", {"key": key})
    for one in said.get("kvs", ()):
        lease = lab.ask_etcd(WITNESS, "/v3/lease/timetolive", {"ID": one.get("lease", "0")})
        return int(lease.get("grantedTTL", 0))
    return None


def told(lab: Lab, number: int, outcome: Outcome) -> runs.Run:
    """The record of a run, printed as well."""
    one = runs.run(outcome, lab.estate, act_after_s=0.35)
    print(f"   {runs.line(number, one)}", flush=True)
    return one


def say(event: Event) -> None:
    """Events are for people who watch."""


if __name__ == "__main__":
    main()
