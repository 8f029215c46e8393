"""References: names in the file that must be defined elsewhere in it; checked while the record is read."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AfterValidator, ValidationInfo

from binome.estate.problem import did_you_mean
from binome.estate.scalars import wrong
from binome.shown import shown

Names = Mapping[str, frozenset[str]]
"""The context of a validation: the names that each section of the file defines."""


def known(*sections: str) -> AfterValidator:
    """A reference: the name must be defined in one of these sections."""
    nouns = [section if section == "data" else section.removesuffix("s") for section in sections]
    expected = "the name of " + " or ".join(noun if noun == "data" else f"a {noun}" for noun in nouns)

    def check(name: str, info: ValidationInfo) -> str:
        names: Names | None = info.context
        if names is None or any(name in names[section] for section in sections):
            return name
        key = (info.field_name or "it").removesuffix("_")
        elsewhere = [section for section, defined in names.items() if name in defined]
        which = f"which is defined under {elsewhere[0]}" if elsewhere else f"and there is no such {' or '.join(nouns)}"
        remedy = f"Define it under {' or '.join(sections)}, or name another."
        remedy = did_you_mean(name, [names[section] for section in sections], remedy)
        raise wrong(f"`{key}` names {shown(name)}, {which}", expected, remedy)

    return AfterValidator(check)


def defined_anywhere() -> AfterValidator:
    """A reference to anything in the file that has a name."""

    def check(name: str, info: ValidationInfo) -> str:
        names: Names | None = info.context
        if names is None or any(name in defined for defined in names.values()):
            return name
        remedy = did_you_mean(name, names.values(), "Name what the finding is about.")
        raise wrong(f"`{info.field_name}` names {name}, and nothing has that name", "a name from this file", remedy)

    return AfterValidator(check)
