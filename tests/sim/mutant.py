"""A mutant: a mistake that somebody could make, as a patch of the production code's text.

A patch replaces one piece of one function, which is compiled anew in its own module. The checkers know nothing of it.
`within` says in how many nights, of the seeds from 1 on, an invariant must have been seen broken;
`night` says of which kind the nights are.
"""

from __future__ import annotations
import __future__

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from binome.sim.shape import PLAIN


class Mutant(NamedTuple):
    """A mistake: in which function, what is replaced by what, and how soon it must be found."""

    what: str
    function: Callable[..., Any]
    old: str
    new: str
    within: int
    night: str = PLAIN

    def seeds(self) -> list[str]:
        """The nights in which it must be found."""
        prefix = "" if self.night == PLAIN else f"{self.night}/"
        return [f"{prefix}{number}" for number in range(1, self.within + 1)]


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """The production code with this mistake in it."""
    what, function, old, new = mutant.what, mutant.function, mutant.old, mutant.new
    module = sys.modules[function.__module__]
    holder, _, _ = function.__qualname__.rpartition(".")
    owner = getattr(module, holder) if holder else module
    name = function.__name__
    source = textwrap.dedent(inspect.getsource(function))
    if "\n" in old or old.startswith(" "):
        old, new = _shifted(old), _shifted(new)
    assert source.count(old) == 1, f"{what}: the text is there {source.count(old)} times"
    code = compile(source.replace(old, new), f"<{what}>", "exec", flags=__future__.annotations.compiler_flag)
    scope: dict[str, Any] = {}
    exec(code, vars(module), scope)
    before = vars(owner)[name]
    setattr(owner, name, scope[name])
    try:
        yield
    finally:
        setattr(owner, name, before)


def _shifted(text: str) -> str:
    """Lines as they stand in a method, moved to the left as the method is."""
    return "\n".join(line.removeprefix("    ") for line in text.split("\n"))
