"""The commands by which a person moves a database, without all the others: they are there in a third of the time.

Who types one of them waits for it, and so do the writers of a database. `main` has them as well, for its help.
"""

from __future__ import annotations

import typer

from binome.cli import takeover

COMMANDS = {one.__name__: one for one in (takeover.takeover, takeover.switchover, takeover.failback)}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
for command in COMMANDS.values():
    app.command()(command)
