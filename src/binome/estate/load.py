"""Text in, a frozen model out, or every mistake at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from binome.estate import text, whole
from binome.estate.model import SERVICE_KINDS, Estate
from binome.estate.problem import EstateError, Problem, did_you_mean, shown
from binome.estate.scalars import WRONG, WRONG_VALUE, seen


class _Schema(GenerateJsonSchema):
    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"non-serializable-default"}  # noqa: RUF012 - as its base class has it; empty sections


@cache
def json_schema() -> dict[str, Any]:
    """The JSON schema of an estate file, for editors."""
    schema = Estate.model_json_schema(by_alias=True, schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Binôme estate"}


def load(raw: bytes) -> Estate:
    """Reads an estate file.

    `raw` is the content of the file. Raises EstateError with every problem found: of the text, of each record, of
    the references between them, of the whole.
    """
    document = text.read(raw)
    problems = [*document.problems, *whole.check(document)]
    estate: Estate | None = None
    try:
        estate = Estate.model_validate(document.data, context=whole.names_of(document.data))
    except ValidationError as error:
        problems.extend(_problems(document, error))
    if problems or estate is None:
        raise EstateError(problems)
    estate._marks, estate._lines = document.marks, document.lines
    return estate


def _problems(document: text.Document, error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        context: Mapping[str, Any] = detail.get("ctx", {})
        path = tuple(detail["loc"])
        about_key = path[-1:] == ("[key]",)
        if about_key:
            path = path[:-1]
        kind = detail["type"]
        if kind == WRONG_VALUE:
            subject = f"the name {_letters(str(path[-1]))}" if about_key else f"`{_key(path)}` is {context['found']}"
            found, expected, remedy = subject, context["expected"], context["remedy"]
        elif kind == WRONG:
            found, expected, remedy = context["found"], context["expected"], context["remedy"]
        else:
            found, expected, remedy = _standard(kind, path, detail["input"], context)
        yield Problem(document.marks.find(path, key=about_key or kind == "extra_forbidden"), found, expected, remedy)


def _key(path: tuple[str | int, ...]) -> str:
    """The last key on the way to a value; the position in a list says less than the key of the list."""
    return shown(next((str(step) for step in reversed(path) if isinstance(step, str)), "the file"))


def _standard(kind: str, path: tuple[str | int, ...], value: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
    """Found, expected and remedy for the errors that pydantic itself raises."""
    key = _key(path)
    if kind == "missing":
        return f"no `{key}`", f"`{key}`, which must be given", f"Add {key}: here."
    if kind == "extra_forbidden":
        known = _keys_of(path)
        remedy = did_you_mean(key, known, "Remove it, or correct it.")
        return f"the unknown key `{key}`", f"one of {', '.join(known)}", remedy
    if kind == "literal_error":
        choices = re.findall("'([^']*)'", context["expected"])
        return f"`{key}` is {seen(value)}", _or(choices), did_you_mean(str(value), choices, "Choose one.")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        found = f"`kind` is {seen(context['tag'])}" if "tag" in context else "no `kind`"
        return (
            found,
            _or(SERVICE_KINDS),
            did_you_mean(context.get("tag", ""), SERVICE_KINDS, "Choose its kind."),
        )
    if kind == "too_short":
        return f"an empty `{key}`", "at least one name", "Name one."
    if kind in ("model_type", "model_attributes_type", "mapping_type", "dict_type"):
        return f"`{key}` is {seen(value)}", "keys and values", f"Write {key}: {{…}}."
    if kind in ("tuple_type", "list_type"):
        return f"`{key}` is {seen(value)}", "a list", f"Write {key}: […]."
    return f"`{key}` is {seen(value)}", kind.removesuffix("_type"), "Correct it."


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _letters(name: str) -> str:
    """A refused name, with each character in it that is not of the alphabet spelled out."""
    strange = sorted({c for c in name if not (c.isascii() and (c.islower() or c.isdigit() or c == "-"))})
    spelled = ", ".join(f"{shown(c)!r} (U+{ord(c):04X})" for c in strange[:3])
    return f'"{shown(name)}"' + (f", which has {spelled}" if spelled else "")


def _keys_of(path: tuple[str | int, ...]) -> list[str]:
    """The keys that the record at `path` may have, found by walking the schema of the model."""
    schema = json_schema()
    here: Any = schema
    for step in path[:-1]:
        here = _step(schema, _resolved(schema, here), step)
    return list(_resolved(schema, here).get("properties", {}))


def _step(schema: Any, here: Any, step: str | int) -> Any:
    if "discriminator" in here:
        return {"$ref": here["discriminator"]["mapping"].get(step)}
    if isinstance(step, int):
        return here.get("items", {})
    return here.get("properties", {}).get(step) or next(iter(here.get("patternProperties", {}).values()), {})


def _resolved(schema: Any, here: Any) -> Any:
    while here.get("$ref") or "anyOf" in here:
        here = here["anyOf"][0] if "anyOf" in here else schema["$defs"][here["$ref"].rsplit("/", 1)[1]]
    return here
