"""Run on a server that is cut off: writes to its own PostgreSQL in several ways, and tells what it was told.

Every write waits for at most ten seconds, which is longer than Patroni needs to demote a primary without agreement.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import psycopg

from binome.lab.workload import is_warning

INSERT = "INSERT INTO ledger (id, attempt) VALUES (%s, 1)"
WAYS: dict[str, tuple[str, str]] = {
    "plain": ("", INSERT),
    "retry-that-updates": ("", INSERT + " ON CONFLICT (id) DO UPDATE SET attempt = ledger.attempt + 1"),
    "statement-timeout": ("SET statement_timeout = '1s'", INSERT),
    "synchronous-commit-local": ("SET synchronous_commit = local", INSERT),
    "cancelled": ("", INSERT),
}
CANCELLED_AFTER_S = 1.0
WAIT_S = 10


class Inside:
    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings
        self.answers: dict[str, dict[str, Any]] = {}

    def write(self, way: str, row: str, setting: str, sql: str, *, cancel: bool = False) -> None:
        answer: dict[str, Any] = {"acknowledged": False, "warned": False, "error": ""}
        self.answers[way] = answer
        try:
            with self.connected() as connection:
                connection.add_notice_handler(
                    lambda notice: answer.update(warned=answer["warned"] or is_warning(notice))
                )
                if setting:
                    connection.execute(setting.encode())
                if cancel:
                    threading.Timer(CANCELLED_AFTER_S, connection.cancel).start()
                connection.execute(sql.encode(), (row,))
                answer["acknowledged"] = True
        except psycopg.Error as error:
            answer["error"] = str(error)

    def connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self.settings["address"],
            dbname="ledger",
            user="ledger",
            password=self.settings["password"],
            autocommit=True,
            connect_timeout=3,
        )

    def run(self) -> None:
        threads = []
        for way, (setting, sql) in WAYS.items():
            row = f"{self.settings['prefix']}{way}"
            writing = threading.Thread(
                target=self.write, args=(way, row, setting, sql), kwargs={"cancel": way == "cancelled"}, daemon=True
            )
            writing.start()
            threads.append(writing)
            if way == "cancelled":
                writing.join(WAIT_S)
                self.write("do-nothing-after-cancelled", row, "", INSERT + " ON CONFLICT (id) DO NOTHING")
        for writing in threads:
            writing.join(WAIT_S)
        Path(self.settings["answers"]).write_text(json.dumps(self.answers))


if __name__ == "__main__":
    Inside(json.loads(Path(sys.argv[1]).read_text())).run()
