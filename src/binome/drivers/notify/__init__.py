"""The voices: a module for each kind of sender, found by entry points of the group `binome.notify`.

Built-in kinds are registered in pyproject.toml exactly as a third party registers its own: the entry point's name is
the kind, its object a `ports.NotifyFactory`. Only the kinds that an estate has are imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

from binome.estate.model import Sender
from binome.ports import Notify

GROUP = "binome.notify"
LONGEST_SECRET = 4_096


class Loaded(NamedTuple):
    """The senders by name, and what keeps others from being there: one sentence each, with its remedy."""

    senders: dict[str, Notify]
    problems: tuple[str, ...]


def load(senders: Mapping[str, Sender], secret: Callable[[str], str]) -> Loaded:
    """The senders of an estate. Never raises: what is not there is a problem, and the others go on."""
    loaded: dict[str, Notify] = {}
    problems = []
    for name, options in senders.items():
        found = sorted(entry_points(group=GROUP, name=options.kind), key=lambda one: one.value)
        if len({one.value for one in found}) != 1:
            places = " and ".join(one.value for one in found) or "nobody"
            problems.append(f"sender {name}: its kind {options.kind} is registered by {places}.  Let one do it.")
            continue
        try:
            loaded[name] = found[0].load()(name, options, secret)
        except ValueError as error:
            problems.append(f"sender {name}: {error}")
        except Exception as error:  # a third party's, or a dependency that is missing
            problems.append(f"sender {name} cannot be loaded: {error}.  Install the extra `binome[paging]`.")
    return Loaded(loaded, tuple(problems))


def secret_of(place: str) -> str:
    """The secret at `env:NAME` or `file:/path`, without space around it. Raises OSError, which does not show it."""
    kind, _, where = place.partition(":")
    if kind == "env":
        if not os.environ.get(where, "").strip():
            raise OSError(f"{place} is not set")
        return os.environ[where].strip()
    with Path(where).open("rb") as file:
        raw = file.read(LONGEST_SECRET + 1)
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        raise OSError(f"{place} is no text") from None
    if not text or len(raw) > LONGEST_SECRET or not text.isprintable():
        raise OSError(f"{place} is no secret of one line")
    return text
