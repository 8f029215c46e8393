"""Where the `binome` program begins: early enough that Ctrl-C ends it cleanly even while it is being loaded."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; Ctrl-C ends it with 130."""
    try:
        from binome.cli import completion  # noqa: PLC0415 - loading takes long enough to be interrupted
        from binome.cli.main import app  # noqa: PLC0415

        completion.begin()
        app(prog_name="binome")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
