"""`bench/run`: runs all, whatever becomes of one, and ends with 1 where one failed or missed a goal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GOALS = (ROOT / "bench" / "goals.py").read_text(encoding="utf-8")
MEETS = "import goals\nprint('first', goals.at_most('memory', 299, 300))\ngoals.end()\n"
MISSES = "import goals\nprint('second', goals.at_least('ratio', 1.0, 4))\ngoals.end()\n"
FAILS = "raise SystemExit(3)\n"
LAST = "print('last')\n"


def run(folder: Path, **benches: str) -> tuple[int, str]:
    for name, text in {"goals": GOALS, **benches}.items():
        (folder / f"{name}.py").write_text(text)
    environment = {**os.environ, "BENCH_FOLDER": str(folder), "BENCH_PYTHON": sys.executable}
    command = [ROOT / "bench" / "run"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return said.returncode, said.stdout


def test_goals_that_are_met_are_good(tmp_path: Path) -> None:
    code, said = run(tmp_path, a=MEETS, z=LAST)
    assert code == 0 and "first (goal: at most 300: met)" in said and "last" in said


@pytest.mark.parametrize(("bad", "words"), [(MISSES, "second (goal: at least 4: MISSED)"), (FAILS, "")])
def test_one_that_is_missed_or_fails_ends_with_1_and_the_rest_is_run(tmp_path: Path, bad: str, words: str) -> None:
    code, said = run(tmp_path, a=MEETS, b=bad, z=LAST)
    assert code == 1
    assert words in said and "\nlast\n" in said
    assert said.rstrip().endswith(f"failed, or missed a goal: {tmp_path}/b.py")
