"""Programs of the system, run to their end."""

from __future__ import annotations

import subprocess

from binome.lab.errors import LabError


def run(*arguments: str, text: str | None = None, timeout_s: float = 30) -> str:
    """Runs a program with these arguments and `text` as its input, and returns what it printed.

    Raises LabError with the program's own words where it is missing, fails, or does not end in time.
    """
    try:
        done = subprocess.run(
            arguments, input=text, capture_output=True, encoding="utf-8", timeout=timeout_s, check=False
        )
    except FileNotFoundError:
        raise LabError(f"{arguments[0]} is not installed.  Run `make demo`, which installs the engines.") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(arguments)}` did not end within {timeout_s:g} s.") from None
    if done.returncode != 0:
        raise LabError(f"`{' '.join(arguments)}` failed: {done.stderr.strip() or f'exit {done.returncode}'}")
    return done.stdout
