"""The `binome` command."""

from __future__ import annotations

import typer

from binome.cli import (
    backup,
    completion,
    estate,
    explain,
    incident,
    journal,
    letter,
    maintenance,
    oncall,
    plan,
    render,
    status,
    takeover,
    vault,
)
from binome.cli.check import check
from binome.cli.extras import with_extras
from binome.cli.measured import measured
from binome.cli.preflight import preflight

app = typer.Typer(
    help="Keeps a platform up when a data centre is lost, and proves every day that it would.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(estate.app, name="estate")
app.command()(check)
app.command()(preflight)
app.command()(render.render)
if demo := with_extras(app, "demo", "binome.cli.demo", "agreement,lab"):
    app.command()(demo.demo)
if lab := with_extras(app, "lab", "binome.cli.lab", "agreement,lab"):
    app.add_typer(lab.app, name="lab")
    if matrix := with_extras(lab.app, "matrix", "binome.cli.matrix", "agreement,lab"):
        lab.app.command()(matrix.matrix)
    if fuzz := with_extras(lab.app, "fuzz", "binome.cli.fuzz", "agreement,lab"):
        lab.app.command()(fuzz.fuzz)
    if soak := with_extras(lab.app, "soak", "binome.cli.soak", "agreement,lab"):
        lab.app.command()(soak.soak)
    if verify := with_extras(lab.app, "verify", "binome.cli.verify", "agreement,lab"):
        lab.app.command()(verify.verify)
if run := with_extras(app, "run", "binome.cli.run", "agreement,looking,paging"):
    app.command()(run.run)
app.command()(status.status)
app.command()(explain.explain)
app.command()(takeover.takeover)
app.command()(takeover.switchover)
app.command()(takeover.failback)
app.add_typer(maintenance.app, name="maintenance")
app.add_typer(plan.app, name="plan")
app.add_typer(journal.app, name="journal")
if ca := with_extras(app, "ca", "binome.cli.ca", "agreement"):
    app.add_typer(ca.app, name="ca")
backup.app.command()(measured)
app.add_typer(backup.app, name="backup")
if prove := with_extras(backup.app, "prove", "binome.cli.prove", "agreement,backup"):
    backup.app.command()(prove.prove)
if restore := with_extras(app, "restore", "binome.cli.restore", "agreement,backup"):
    app.command()(restore.restore)
app.add_typer(vault.app, name="vault")
app.command()(completion.completion)
app.command("oncall")(oncall.show)
for command in (
    *(incident.incidents, incident.incident, incident.note, incident.ack, incident.silence, incident.resolve),
    *(incident.override, incident.affected, incident.page, letter.letter),
):
    app.command()(command)
