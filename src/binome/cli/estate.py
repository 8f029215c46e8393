"""`binome estate`: read the file, print what it says, and its schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.tree import Tree

from binome.cli.exits import print_json, read_estate
from binome.estate import Estate
from binome.estate.load import json_schema

app = typer.Typer(help="Read an estate file, or refuse it with every mistake at once.", no_args_is_help=True)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="The estate file.")],
    as_json: Annotated[bool, typer.Option("--json", help="The whole model, in the notations of the file.")] = False,
) -> None:
    """Print what the file says, site by site."""
    estate = read_estate(file, as_json=as_json)
    if as_json:
        print_json(estate.as_json())
    else:
        Console(highlight=False).print(_tree(estate))


@app.command()
def schema() -> None:
    """Print the JSON schema of the estate file, for editors."""
    print_json(json_schema())


def _tree(estate: Estate) -> Tree:
    counts = (
        (len(getattr(estate, section)), section) for section in ("hosters", "sites", "servers", "services", "products")
    )
    tree = Tree(f"{estate.estate}   " + ", ".join(f"{count} {section}" for count, section in counts if count))
    roles: dict[str, list[str]] = {}
    for service, record in estate.services.items():
        for name in record.on:
            roles.setdefault(name, []).append(service)
    branches = {
        site: tree.add(_headline(site, options.hoster, options.region)) for site, options in estate.sites.items()
    }
    for name, server in estate.servers.items():
        where = server.site or server.in_[0]  # a server without a site is in a domain
        branch = branches.get(where) or branches.setdefault(where, tree.add(where))
        branch.add(f"{name:<12} {server.address or '':<15} {', '.join(roles.get(name, []))}".rstrip())
    products = tree.add("products")
    for name, product in estate.products.items():
        products.add(f"{name:<12} needs {', '.join(product.needs)}")
    return tree


def _headline(site: str, *where: str | None) -> str:
    return f"{site}   {' · '.join(filter(None, where))}".rstrip()
