"""Data without a copy: replication carries a deletion as faithfully as a row.

A database that holds no declared data is reported too: it holds some, and nothing says that it is copied.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity

SUBJECTS = (
    "data",
    "services",
)

_WHY = (
    "A second server is no backup: a fire, a deletion or a ransom takes both.  In Daejeon, in September 2025, South "
    "Korea lost 858 TB of its civil servants' files in one fire, because there was no copy elsewhere."
)


def findings(context: Context) -> Iterator[Found]:
    """One finding for data without a backup, one for a database without data."""
    platform = context.platform
    for name in platform.estate.data:
        if not platform.copies(name):
            words = f"Copy it every day to another place: backups: {{daily: {{of: [{name}], …}}}}."
            yield Found(Severity.ERROR, name, ("data", name), f"There is no backup of it.  {_WHY}", Remedy(words))
    for name, service in platform.estate.services.items():
        if service.kind == "postgresql" and name not in platform.data_of:
            words = f"Say what it holds and where the copies go: data: {{contents: {{in: {name}, backup: […]}}}}."
            message = f"It is a database, and the file names no data in it and so no copy.  {_WHY}"
            yield Found(Severity.ERROR, name, ("services", name), message, Remedy(words))
