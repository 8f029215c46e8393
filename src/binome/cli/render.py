"""`binome render`: one server's configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.estate.problem import did_you_mean
from binome.render import RenderError
from binome.render import render as rendered


def render(
    server: Annotated[str, typer.Argument(help="A server of the estate.")],
    into: Annotated[Path, typer.Option("--into", help="The folder that stands for / of the server.")],
    file: Annotated[Path, typer.Option("--estate", help="The estate file.")] = Path("estate.yaml"),
    rejoin: Annotated[
        bool, typer.Option("--rejoin", help="The server lost its data and enters an etcd that runs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Write the configuration files of a server's engines, as they would lie on it, below a folder."""
    estate = read_estate(file, as_json=as_json)
    if server not in estate.servers:
        remedy = did_you_mean(server, [frozenset(estate.servers)], "Name a server of the estate.")
        fail(f"binome: {file} has no server {server}; nothing was done.  {remedy}", Exit.BAD_INPUT)
    try:
        files = rendered(estate, server, rejoin=rejoin)
    except RenderError as error:
        fail(f"{file}: {error}", Exit.BAD_INPUT)
    for path, text in files.items():
        target = into / path.lstrip("/")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        except OSError as error:
            fail(f"binome: {target}: {error.strerror}", Exit.ENVIRONMENT)
        if not as_json:
            print(target)
    if as_json:
        print_json({"server": server, "files": [str(into / path.lstrip("/")) for path in files]})
    elif not files:
        print(f"{server} runs no engine that Binôme configures.")
