"""Where the `binome` program begins: early enough that Ctrl-C ends it cleanly even while it is being loaded."""

from __future__ import annotations

import sys

QUICK = ("takeover", "switchover", "failback")
"""Commands that do not wait until all others are loaded (quick.py)."""


def main() -> None:
    """Runs the command line; Ctrl-C ends it with 130."""
    try:
        if sys.argv[1:2] and sys.argv[1] in QUICK:
            from binome.cli.quick import app as quick  # noqa: PLC0415

            quick(prog_name="binome")
        from binome.cli import completion  # noqa: PLC0415 - loading takes long enough to be interrupted
        from binome.cli.main import app  # noqa: PLC0415

        completion.begin()
        app(prog_name="binome")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
