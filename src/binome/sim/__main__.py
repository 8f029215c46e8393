"""`python -m binome.sim`: nights by the number, and how to see one again that went wrong."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from binome.sim.episode import Episode, play, shrink
from binome.sim.fault import Fault
from binome.sim.shape import NIGHTS, PLAIN


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the episodes that were asked for. 0 where every invariant held, else 1."""
    asked = _parser().parse_args(arguments)
    faults = msgspec.convert(json.loads(Path(asked.schedule).read_text()), list[Fault]) if asked.schedule else None
    seen: Counter[str] = Counter()
    violations = 0
    virtual_s = 0.0
    for number in range(asked.episodes):
        seed = str(asked.seed + number) if asked.nights == PLAIN else f"{asked.nights}/{asked.seed + number}"
        episode = play(seed, faults)
        seen.update(episode.seen)
        virtual_s += episode.virtual_s
        violations += len(episode.violations)
        if episode.violations:
            _tell_failure(episode)
            sys.stdout.flush()  # a long run that went wrong is looked at before it ends
    print(f"seeds {asked.seed} to {asked.seed + asked.episodes - 1}, {virtual_s / 3600:.1f} hours of virtual time")
    _tell("faults", seen, "fault: ")
    _tell("events", seen, "event: ")
    _tell("states", {name: count for name, count in seen.items() if not name.startswith(("fault: ", "event: "))}, "")
    print(f"episodes {asked.episodes} violations {violations}")
    return 1 if violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nights", choices=NIGHTS, default=PLAIN, help="what kind of nights")
    parser.add_argument("--schedule", default="", help="a file with a schedule, instead of the seed's own")
    return parser


def _tell(title: str, counts: dict[str, int], prefix: str) -> None:
    chosen = sorted((name.removeprefix(prefix), count) for name, count in counts.items() if name.startswith(prefix))
    print(f"{title} ({len(chosen)}):")
    for name, count in chosen:
        print(f"  {count:>8,}  {name}")


def _tell_failure(episode: Episode) -> None:
    first = episode.violations[0]
    print(f"seed {episode.seed}:")
    for violation in episode.violations:
        print(f"  {violation}")
    least = shrink(episode.seed, episode.faults, first.invariant)
    print(f"  of {len(episode.faults)} faults these {len(least)} are enough for {first.invariant!r}:")
    for fault in least:
        print(f"    {fault}")
    print(f"  the schedule: {msgspec.json.encode(least).decode()}")
    kind, _, number = episode.seed.rpartition("/")
    print(f"  again: make sim {f'NIGHTS={kind} ' if kind else ''}SEED={number} EPISODES=1")


if __name__ == "__main__":
    sys.exit(main())
