"""Run on a server that is cut off: two sessions write without pause, one of which does not wait for the standby.

    python local_writer.py DSN FILE SECONDS

Each line of FILE is an acknowledgement: the session, the row, and when (the machine's monotonic clock). A row whose
acknowledgement came with a warning is none.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from binome.lab.workload import is_warning

SESSIONS = {"local": "SET synchronous_commit = local", "plain": ""}


def write(session: str, setting: str, dsn: str, file: Path, until_s: float) -> None:
    """Writes rows until the server is gone or the time is over."""
    warned: list[bool] = []
    with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True, connect_timeout=2) as connection:
        connection.add_notice_handler(lambda notice: warned.append(is_warning(notice)))
        if setting:
            connection.execute(setting)
        number = 0
        while time.monotonic() < until_s:
            row, number = f"{file.stem}-{session}-{number}", number + 1
            warned.clear()
            connection.execute("INSERT INTO ledger (id, attempt) VALUES (%s, 1)", (row,))
            if not any(warned):
                with file.open("a") as lines:
                    lines.write(json.dumps({"session": session, "id": row, "at_s": time.monotonic()}) + "\n")
            time.sleep(0.01)


def main(dsn: str, file: Path, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    threads = [
        threading.Thread(target=write, args=(session, setting, dsn, file, until_s), daemon=True)
        for session, setting in SESSIONS.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until_s + 1 - time.monotonic(), 0))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
