"""Text in, a frozen model out, or every mistake at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import ErrorDetails, SchemaSerializer
from pydantic_core.core_schema import DictSchema, WithDefaultSchema

from binome.estate import text, whole
from binome.estate.model import SERVICE_KINDS, Estate, Service
from binome.estate.problem import EstateError, Problem, did_you_mean
from binome.estate.references import Names
from binome.estate.scalars import WRONG, WRONG_VALUE, seen
from binome.shown import shown

_UNKNOWN_KIND = ("union_tag_invalid", "union_tag_not_found")
_SERVICE_KEYS = frozenset(field.alias or name for name, field in Service.model_fields.items())


class _Schema(GenerateJsonSchema):
    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"non-serializable-default"}  # noqa: RUF012 - as its base class has it; empty sections

    def dict_schema(self, schema: DictSchema) -> JsonSchemaValue:
        """A table: names that are not in the notation of names are refused, instead of being of no pattern."""
        written = super().dict_schema(schema)
        return {**written, "additionalProperties": False} if "patternProperties" in written else written

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """A default in the notation of the file: `2s`, which the model holds as 2000."""
        written = super().default_schema(schema)
        if isinstance(written.get("default"), int):
            written["default"] = SchemaSerializer(schema["schema"]).to_python(written["default"], mode="json")
        return written


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
    names = whole.names_of(document.data)
    problems = [*document.problems, *whole.check(document)]
    estate: Estate | None = None
    try:
        estate = Estate.model_validate(document.data, context=names)
    except ValidationError as error:
        problems.extend(_new(document, error, names))
    if problems or estate is None:
        raise EstateError(problems)
    estate._marks, estate._lines = document.marks, document.lines
    return estate


def _details(error: ValidationError, names: Names) -> Iterator[ErrorDetails]:
    """The errors that pydantic found, and those it did not look for in services of an unknown kind."""
    for detail in error.errors(include_url=False):
        yield detail
        record = detail["input"]
        if detail["type"] in _UNKNOWN_KIND and isinstance(record, dict):
            try:
                Service.model_validate({key: record[key] for key in record if key in _SERVICE_KEYS}, context=names)
            except ValidationError as common:
                for inner in common.errors(include_url=False):
                    yield {**inner, "loc": (*detail["loc"], *inner["loc"])}


def _new(document: text.Document, error: ValidationError, names: Names) -> Iterator[Problem]:
    """The problems of the records, without those that only follow from a problem of the text at the same place."""
    spoiled = {problem.place for problem in document.problems}
    lines = {place.line for place in spoiled}
    for detail in _details(error, names):
        problem = _problem(document, detail)
        about = (detail["input"], *detail["loc"][-2:])
        deceives = any(isinstance(one, str) and text.STAND_IN in one for one in about) and problem.place.line in lines
        if problem.place not in spoiled and not deceives:
            yield problem


def _problem(document: text.Document, detail: ErrorDetails) -> Problem:
    context: Mapping[str, Any] = detail.get("ctx", {})
    kind, path = detail["type"], _in_file(detail["loc"])
    about_key = path[-1:] == ("[key]",)
    if about_key:
        path = path[:-1]
    if kind == WRONG_VALUE:
        subject = f"`{_key(path)}`" if isinstance(path[-1], str) or isinstance(detail["input"], str) else _owner(path)
        found, expected, remedy = f"{subject} is {context['found']}", context["expected"], context["remedy"]
        if about_key:
            found = f"the name {context['found']}"
            remedy = "Put a space after its `:`." if ":" in str(path[-1]) else remedy
    elif kind == WRONG:
        found, expected, remedy = context["found"], context["expected"], context["remedy"]
    elif kind == "extra_forbidden":
        found, expected, remedy = _unknown_key(detail["loc"])
    else:
        found, expected, remedy = _standard(kind, path, detail["input"], context)
        if detail["input"] is None and _may_be_left_out(detail["loc"]):
            remedy = f"{remedy.rstrip('.')}, or remove it."
    if kind == "union_tag_invalid":
        path = (*path, "kind")
    at_key = about_key or kind in ("extra_forbidden", "missing", "union_tag_not_found")
    return Problem(document.marks.find(path, key=at_key), found, expected, remedy)


def _in_file(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The way in the file to where pydantic found an error; it names the member of a union, which is no key there."""
    is_member = loc[0] == "services" and len(loc) > 2 and loc[2] in SERVICE_KINDS
    return (*loc[:2], *loc[3:]) if is_member else loc


def _key(path: tuple[str | int, ...]) -> str:
    """The last key on the way to a value; the position in a list says less than the key of the list."""
    return shown(next((str(step) for step in reversed(path) if isinstance(step, str)), "the file"))


def _standard(kind: str, path: tuple[str | int, ...], value: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
    """Found, expected and remedy for the errors that pydantic itself raises."""
    key = _key(path)
    if kind == "missing":
        return f"{_owner(path[:-1])} has no `{key}`", f"`{key}`, which must be given", f"Add {key}:."
    if kind == "literal_error":
        return _choice(key, value, re.findall("'([^']*)'", context["expected"]))
    if kind in _UNKNOWN_KIND:
        if "tag" not in context:
            return f"{_owner(path)} has no `kind`", _or(SERVICE_KINDS), "Add kind:."
        return _choice("kind", value.get("kind") if isinstance(value, dict) else None, SERVICE_KINDS)
    notation, example = ("a list", "[…]") if kind in ("tuple_type", "list_type") else ("keys and values", "{…}")
    if isinstance(path[-1], int):
        return f"{_owner(path)} is {seen(value)}", notation, f"Write {example}."
    return f"`{key}` is {seen(value)}", notation, f"Write {key}: {example}."


def _unknown_key(loc: tuple[str | int, ...]) -> tuple[str, str, str]:
    known = list(_record_schema(loc).get("properties", {}))
    expected = f"one of {', '.join(known)}" if known else "a key that is known"
    return f"the unknown key `{_key(loc)}`", expected, did_you_mean(str(loc[-1]), [frozenset(known)], "Remove it.")


def _choice(key: str, value: Any, choices: Sequence[str]) -> tuple[str, str, str]:
    remedy = did_you_mean(value if isinstance(value, str) else "", [frozenset(choices)], "Choose one.")
    return f"`{key}` is {seen(value)}", _or(choices), remedy


def _owner(path: tuple[str | int, ...]) -> str:
    """The record at `path`, as a message names it."""
    if not path:
        return "the file"
    return shown(path[-1]) if isinstance(path[-1], str) else f"this entry of `{_key(path)}`"


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _record_schema(loc: tuple[str | int, ...]) -> Any:
    """The schema of the record in which pydantic found an error, found by walking the schema of the model."""
    schema = json_schema()
    here: Any = schema
    for step in loc[:-1]:
        here = _step(schema, _resolved(schema, here), step)
    return _resolved(schema, here)


def _may_be_left_out(loc: tuple[str | int, ...]) -> bool:
    schema = _record_schema(loc)
    known = isinstance(loc[-1], int) or "properties" in schema or "patternProperties" in schema
    return known and loc[-1] not in schema.get("required", ())


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
