"""How many nights a CPU minute simulates, how many hours of virtual time that is, and what the faults cost.

The reference is the same night without faults and people: lookouts and etcd keep each other company.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from binome.sim.episode import play
from binome.sim.faults import schedule
from binome.sim.history import History
from binome.sim.world import Shape, World, night

NIGHTS = 60


def quiet(seed: str) -> History:
    return World(seed, Shape(seed), (), ()).run()


def bad(seed: str) -> History:
    return night(seed, schedule(seed, Shape(seed).targets))


def measure(live: Callable[[str], float]) -> tuple[float, float]:
    """CPU seconds and virtual seconds of so many nights."""
    begin_s = time.process_time()
    virtual_s = sum(live(str(seed)) for seed in range(1, NIGHTS + 1))
    return time.process_time() - begin_s, virtual_s


def main() -> None:
    ways: dict[str, Callable[[str], float]] = {
        "quiet nights (reference)": lambda seed: quiet(seed).loop.now_s,
        "bad nights": lambda seed: bad(seed).loop.now_s,
        "episodes: twice, and checked": lambda seed: play(seed).virtual_s * 2,
    }
    print(
        f"{'of ' + str(NIGHTS) + ' each':<32}{'a CPU second':>14}{'a CPU minute':>14}{'virtual hours':>15}{'ratio':>8}"
    )
    reference_s = 0.0
    for name, live in ways.items():
        cpu_s, virtual_s = measure(live)
        reference_s = reference_s or cpu_s
        a_second, hours = NIGHTS / cpu_s, virtual_s / 3600 * 60 / cpu_s
        print(f"{name:<32}{a_second:>14.1f}{a_second * 60:>14,.0f}{hours:>15.1f}{cpu_s / reference_s:>8.1f}")


if __name__ == "__main__":
    main()
