"""`binome estate show` and `schema`: exit codes, and what is on which stream."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from binome.cli.main import app
from binome.estate import load
from binome.estate.load import json_schema
from tests.estate.test_properties import EXAMPLES
from tests.estate.test_refused import CASES, REFUSED


def binome(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["estate", *map(str, arguments)])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_show_json_is_the_model_alone(path: Path) -> None:
    shown = binome("show", path, "--json")
    assert shown.exit_code == 0
    assert shown.stderr == ""
    assert json.loads(shown.stdout) == load(path.read_bytes()).as_json()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_show_names_every_server_with_its_services(path: Path) -> None:
    shown = binome("show", path)
    assert shown.exit_code == 0
    estate = load(path.read_bytes())
    for name, server in estate.servers.items():
        line = next(line for line in shown.stdout.splitlines() if re.search(rf"\b{name}\b", line))
        assert server.address is not None
        assert server.address in line
        assert all(service in line for service, record in estate.services.items() if name in record.on)


def test_show_names_a_server_that_has_no_site(tmp_path: Path) -> None:
    file = tmp_path / "estate.yaml"
    file.write_text("domains: {rack: {kind: rack}}\nservers: {one: {in: rack}}\n")
    assert re.search(r"rack\n.* one", binome("show", file).stdout)


@pytest.mark.parametrize("case", CASES)
def test_show_json_of_a_bad_file_is_its_errors_alone(case: str) -> None:
    shown = binome("show", REFUSED / f"{case}.yaml", "--json")
    assert shown.exit_code == 2
    assert shown.stderr == ""
    answer = json.loads(shown.stdout)
    assert list(answer) == ["errors"]
    for error in answer["errors"]:
        assert list(error) == ["line", "column", "found", "expected", "remedy"]
    lines = ["{line}:{column}: {found}; expected {expected}.  {remedy}".format(**error) for error in answer["errors"]]
    assert lines == (REFUSED / f"{case}.txt").read_text(encoding="utf-8").splitlines()


def test_show_of_a_bad_file_says_where_and_that_nothing_was_done() -> None:
    file = REFUSED / "key-given-twice.yaml"
    shown = binome("show", file)
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert shown.stderr == (
        f"{file}:3:19: `here` is given twice (first at line 3); expected every key once.  Remove one.\n"
        f"{file}:11:5: `port` is given twice (first at line 10); expected every key once.  Remove one.\n"
        f"{file}:12:1: `estate` is given twice (first at line 2); expected every key once.  Remove one.\n"
        "3 errors; nothing was done.\n"
    )


def test_a_file_that_cannot_be_read_is_an_error_like_the_others(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        shown = binome("show", path)
        assert (shown.exit_code, shown.stdout) == (2, "")
        assert shown.stderr.startswith(f"{path}:1:1: no readable file ({why}); expected an estate file.")
        (error,) = json.loads(binome("show", path, "--json").stdout)["errors"]
        assert why in error["found"]


def test_a_file_without_end_is_refused() -> None:
    shown = binome("show", "/dev/zero", "--json")
    assert shown.exit_code == 2
    assert "more than" in json.loads(shown.stdout)["errors"][0]["found"]


def test_the_schema_is_alone_on_standard_output() -> None:
    printed = binome("schema")
    assert printed.exit_code == 0
    assert printed.stderr == ""
    assert json.loads(printed.stdout) == json_schema()


# The schema, checked by hand: a validator of the few words that it uses.


def complaints(here: dict[str, Any], value: Any, path: str = "") -> list[str]:
    """The places of a value that the schema refuses."""
    while "$ref" in here:
        here = json_schema()["$defs"][here["$ref"].rsplit("/", 1)[1]]
    if "discriminator" in here:
        member = here["discriminator"]["mapping"].get(value.get("kind"))
        return complaints({"$ref": member}, value, path) if member else [f"{path}/kind"]
    if "anyOf" in here:
        found = [complaints(one, value, path) for one in here["anyOf"]]
        return [] if [] in found else found[0]
    if "const" in here or "enum" in here:
        return [] if value in here.get("enum", [here.get("const")]) else [path]
    return {"object": _object, "array": _array, "string": _string, "null": _null}.get(here["type"], _number)(
        here, value, path
    )


def _object(here: dict[str, Any], value: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [path]
    found = [f"{path}/{key}" for key in here.get("required", []) if key not in value]
    patterns, others = here.get("patternProperties", {}), here.get("additionalProperties", True)
    for key, below in value.items():
        matching = [schema for pattern, schema in patterns.items() if re.search(pattern, key)]
        schema = here.get("properties", {}).get(key) or next(iter(matching), others)
        if schema is False:
            found.append(f"{path}/{key}")
        elif schema is not True:
            found += complaints(schema, below, f"{path}/{key}")
    return found


def _array(here: dict[str, Any], value: Any, path: str) -> list[str]:
    if not isinstance(value, list) or len(value) < here.get("minItems", 0):
        return [path]
    return [one for index, item in enumerate(value) for one in complaints(here["items"], item, f"{path}/{index}")]


def _string(here: dict[str, Any], value: Any, path: str) -> list[str]:
    return [] if isinstance(value, str) and re.search(here.get("pattern", ""), value) else [path]


def _null(_here: dict[str, Any], value: Any, path: str) -> list[str]:
    return [] if value is None else [path]


def _number(here: dict[str, Any], value: Any, path: str) -> list[str]:
    good = isinstance(value, int | float) and here.get("minimum", value) <= value <= here.get("maximum", value)
    return [] if good else [path]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_schema_accepts_the_examples(path: Path) -> None:
    assert complaints(json_schema(), load(path.read_bytes()).as_json()) == []


@pytest.mark.parametrize(
    ("way", "value"),
    [
        ("/regions", {}),
        ("/sites/paris/regoin", "par"),
        ("/sites/paris/hoster", "OVH; reboot"),
        ("/servers/gra-db", "gravelines"),
        ("/servers/Gra", {"site": "paris"}),
        ("/services/database/kind", "oracle"),
        ("/services/database/takeover", "yes"),
        ("/services/database/act_after", 2),
        ("/services/web/port", 70_000),
        ("/services/web/on", []),
        ("/products/website/objective/availability", 99.9),
        ("/vaults/vault-ams/key", "hunter2"),
        ("/accept/0", []),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(way: str, value: Any) -> None:
    estate = load(EXAMPLES[-1].read_bytes()).as_json()
    here: Any = estate
    *steps, last = way[1:].split("/")
    for step in steps:
        here = here[step]
    here[int(last) if isinstance(here, list) else last] = value
    assert complaints(json_schema(), estate) == [way]


KEYWORDS = {
    *("$schema", "$defs", "$ref", "title", "description", "default", "type", "const", "enum", "anyOf", "oneOf"),
    *("properties", "required", "additionalProperties", "patternProperties", "propertyNames", "discriminator"),
    *("items", "minItems", "pattern", "maxLength", "format", "minimum", "maximum"),
}


def test_the_schema_uses_words_that_editors_know() -> None:
    """Pydantic writes a bound that it does not understand as it is (`ge`), and editors pass it over."""
    ahead: list[Any] = [json_schema()]
    while ahead:
        here = ahead.pop()
        assert set(here) <= KEYWORDS
        assert here.get("type") != "array" or "minLength" not in here
        tables = (here.get(word, {}).values() for word in ("$defs", "properties", "patternProperties"))
        below = [*here.get("anyOf", []), *here.get("oneOf", []), here.get("items"), here.get("additionalProperties")]
        ahead += [one for one in (*(schema for table in tables for schema in table), *below) if isinstance(one, dict)]


def test_the_schema_forbids_unknown_keys_everywhere() -> None:
    records = [json_schema(), *json_schema()["$defs"].values()]
    assert [record["title"] for record in records if record.get("additionalProperties") is not False] == []
