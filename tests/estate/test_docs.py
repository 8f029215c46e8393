"""docs/estate.md says of every key what the reader knows: that it is there, its default, an example that is good."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from binome.estate import load
from binome.estate.load import json_schema
from binome.estate.model import SERVICE_KINDS
from binome.estate.text import read
from tests.estate.estates import as_file

PAGE = (Path(__file__).parents[2] / "docs" / "estate.md").read_text(encoding="utf-8")
EXAMPLE = "\n".join(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


class Key(NamedTuple):
    """A key: its heading, its way from there with NAME for names, its default as in the file, the words it may be."""

    heading: str
    way: str
    default: str
    words: tuple[str, ...] = ()


def documented() -> Iterator[tuple[Key, str]]:
    """Every row of a table of keys, with its example."""
    heading = ""
    for line in PAGE.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").strip("`")
        elif cells := re.fullmatch(r"\| `(.+?)` \| (.+?) \| (.+?) \| .+ \| `(.+?)` \|", line):
            yield Key(heading, cells[1], cells[3].strip("`"), tuple(re.findall("`(.+?)`", cells[2]))), cells[4]


def known() -> Iterator[Key]:
    """Every key of the model."""
    schema = resolved(json_schema())
    for section, below in schema["properties"].items():
        record = resolved(below)
        yield Key("The file", section, default(schema, section))
        for one in (*record.get("patternProperties", {}).values(), record.get("items"), record):
            if one is None:
                continue
            if "discriminator" in one:
                yield from services(section, one["discriminator"]["mapping"])
            elif "properties" in resolved(one):
                yield from keys(section, "", resolved(one))


def services(section: str, mapping: dict[str, str]) -> Iterator[Key]:
    assert set(mapping) == set(SERVICE_KINDS)
    kinds = {kind: set(keys(section, "", resolved({"$ref": member}))) for kind, member in mapping.items()}
    common = set.intersection(*kinds.values())
    yield Key(section, "kind", "must be given", SERVICE_KINDS)
    yield from common
    for kind, found in kinds.items():
        yield from (key._replace(heading=f"kind: {kind}") for key in found - common)


def keys(heading: str, before: str, record: dict[str, Any]) -> Iterator[Key]:
    for name, schema in record["properties"].items():
        below = resolved(schema)
        inner = [resolved(one) for one in (*below.get("patternProperties", {}).values(), below.get("items", {}))]
        tables = [one for one in inner if "properties" in one]
        if "const" in below:  # the kind of a service
            continue
        if "properties" in below:
            yield from keys(heading, f"{before}{name}.", below)
            continue
        yield Key(heading, before + name, default(record, name), tuple(below.get("enum", ())))
        for one in tables:
            yield from keys(heading, f"{before}{name}.{'NAME.' if 'patternProperties' in below else ''}", one)


def default(record: dict[str, Any], name: str) -> str:
    if name in record.get("required", ()):
        return "must be given"
    value = record["properties"][name].get("default")
    return "–" if value is None or not value or isinstance(value, dict) else str(value)


def resolved(here: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in here or "anyOf" in here:
        here = here["anyOf"][0] if "anyOf" in here else json_schema()["$defs"][here["$ref"].rsplit("/", 1)[1]]
    return here


def test_every_key_is_documented_with_its_default() -> None:
    assert {key for key, _ in documented()} == set(known())


def test_no_key_is_documented_twice() -> None:
    rows = [(key.heading, key.way) for key, _ in documented()]
    assert len(rows) == len(set(rows))


def test_the_examples_are_one_good_file() -> None:
    estate = load(EXAMPLE.encode())
    unused = [section for section in type(estate).model_fields if not getattr(estate, section)]
    assert unused == []


@pytest.mark.parametrize(
    ("key", "example"), list(documented()), ids=lambda value: ".".join(value[:2]) if value[0] else None
)
def test_an_example_is_accepted_where_it_belongs(key: Key, example: str) -> None:
    """Each example is put into the page's file, in the place of what that says there."""
    data = copy.deepcopy(read(EXAMPLE.encode()).data)
    given = read(example.encode()).data
    record = _record(data, key.heading, key.way)
    for step in key.way.split(".")[:-1]:
        if step in given:  # the example begins further up
            break
        record = next(iter(record.values())) if step == "NAME" else record[step]
    assert list(given) == [next(step for step in key.way.split(".") if step in given)]
    if key.heading != "probes" and given.keys() & {"url", "host"}:
        record.pop("url", None), record.pop("host", None)
    record.update(given)
    load(as_file(data))


def _record(data: dict[str, Any], heading: str, way: str) -> Any:
    """The first record of the page's file that a heading is about; of services the web, of probes one with that key."""
    if heading == "The file":
        return data
    if heading.startswith("kind: "):
        return next(one for one in data["services"].values() if f"kind: {one['kind']}" == heading)
    section = data[heading]
    if heading == "probes":
        return next(one for one in section.values() if way in one)
    if heading in ("people", "lookout"):
        return section
    return section[0] if isinstance(section, list) else section.get("web") or next(iter(section.values()))


def test_every_notation_of_the_page_is_read() -> None:
    quantities = {"duration": "response", "size": "size", "share": "availability"}
    for name, key in quantities.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
        for example in re.findall(r"`([^`]+)`", row.split("|")[3]):
            text = re.sub(rf"{key}: [^,}}\n]+", f"{key}: {example}", EXAMPLE)
            assert text != EXAMPLE or example in EXAMPLE
            load(text.encode())
