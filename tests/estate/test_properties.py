"""What holds for every file, good or bad."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from binome.estate import Estate, EstateError, Problem, load
from binome.estate.scalars import Bytes, Milliseconds, Share
from tests.estate.estates import DURATIONS, SHARES, SIZES, as_file, estates
from tests.estate.test_refused import REFUSED, assert_inside

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/estate.yaml"))
LITTORAL = next(path for path in EXAMPLES if path.parent.name == "littoral").read_bytes()

# Pieces of YAML, of estates and of trouble, from which files are put together that get further than random bytes do.
PIECES = [
    *(b"- ", b": ", b"? ", b"{", b"}", b"[", b"]", b", ", b"&a ", b"*a", b"!t ", b"!!str ", b"<<: *a", b"'", b'"'),
    *(b'"\\ud800"', b"#", b"---", b"...", b"%YAML 1.1", b"@", b"|", b">", b"~", b"0", b"1.5", b"010", b"1e999", b"no"),
    *(b"10.0.0.1", b"2s", b"99%", b"null", b"\n", b"\n  ", b"\n    ", b"\r\n", b"\r", b"\t", b" ", b"\0", b"\xff"),
    *(b"\xef\xbb\xbf", b"\xed\xa0\x80", *(one.encode() for one in "\x85\u00a0\u2028\u202e\ufffe\U0001f525é")),
    *re.findall(rb"[a-z0-9_-]+: ?", LITTORAL)[:80],
]
FILES = (
    st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | st.lists(st.sampled_from(PIECES)).map(b"".join)
)


def read(raw: bytes) -> Estate | tuple[Problem, ...]:
    """The estate, or its problems. Anything else that is raised fails the test."""
    try:
        return load(raw)
    except EstateError as error:
        assert error.problems
        return error.problems


@given(FILES)
@settings(max_examples=400, deadline=2_000)
@example(b"---")
@example(b"\xef\xbf\xbe")
@example(b"lookout: {every: " + b"9" * 400 + b"s}")
@example(b"servers: {a: &a {address: *a}}")
def test_any_bytes_are_an_estate_or_problems_that_lie_inside(raw: bytes) -> None:
    answer = read(raw)
    if isinstance(answer, tuple):
        assert_inside(raw, answer)
        assert all(str(problem).isprintable() for problem in answer)


@given(st.data())
@settings(max_examples=200, deadline=2_000)
def test_a_good_file_that_is_damaged_is_an_estate_or_problems(data: st.DataObject) -> None:
    """Pieces put into, and cut out of, an example: most of it is still read."""
    raw = LITTORAL
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(raw)))
        raw = raw[:start] + data.draw(st.sampled_from(PIECES)) + raw[start + data.draw(st.integers(0, 30)) :]
    answer = read(raw)
    if isinstance(answer, tuple):
        assert_inside(raw, answer)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_printed_and_read_again_is_the_same(path: Path) -> None:
    assert_round_trip(load(path.read_bytes()))


@given(estates())
@settings(max_examples=80, deadline=2_000)
def test_an_estate_printed_and_read_again_is_the_same(data: dict[str, Any]) -> None:
    assert_round_trip(load(as_file(data)))


def assert_round_trip(estate: Estate) -> None:
    again = load(json.dumps(estate.as_json(), ensure_ascii=False).encode())
    assert again.model_dump() == estate.model_dump()
    assert again.as_json() == estate.as_json()


@pytest.mark.parametrize(
    ("notation", "texts"),
    [(Milliseconds, DURATIONS), (Bytes, SIZES), (Share, SHARES)],
    ids=["duration", "size", "share"],
)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_quantity_printed_and_read_again_is_the_same(notation: Any, texts: st.SearchStrategy[str], data: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(notation)
    amount = adapter.validate_python(data.draw(texts))
    assert adapter.validate_python(adapter.dump_python(amount, mode="json")) == amount


@given(st.text(max_size=30) | st.integers() | st.floats() | st.none() | st.booleans())
def test_a_quantity_is_read_or_refused(value: Any) -> None:
    for notation in (Milliseconds, Bytes, Share):
        with contextlib.suppress(ValidationError):
            TypeAdapter(notation).validate_python(value)


MISTAKES: dict[str, Callable[[dict[str, Any]], object]] = {
    "an unknown key": lambda estate: estate["sites"][_first(estate["sites"])].update(nonsense=1),
    "a key that is missing": lambda estate: estate["domains"][_first(estate["domains"])].pop("kind"),
    "a wrong type": lambda estate: estate["people"].update(contacts=[1]),
    "a dangling reference": lambda estate: estate["services"][_first(estate["services"])]["on"].append("nobody"),
    "an unknown kind": lambda estate: estate["services"][_first(estate["services"])].update(kind="oracle"),
    "a wrong number": lambda estate: estate["services"][_last(estate["services"])].update(port=0),
    "an unknown sort": lambda estate: estate["links"][_first(estate["links"])].update(kind="pigeon"),
    "a circle": lambda estate: estate["services"][_last(estate["services"])].update(needs=[_last(estate["services"])]),
    "too many needed": lambda estate: estate["services"][_last(estate["services"])].update(need=9_999),
    "a homeless server": lambda estate: estate["servers"].update(homeless={}),
    "an address twice": lambda estate: [server.update(address="10.9.9.9") for server in estate["servers"].values()],
    "a bad name": lambda estate: estate["hosters"].update({"-x": {}}),
    "a name twice": lambda estate: estate["hosters"].update({_first(estate["sites"]): {}}),
    "a server twice": lambda estate: estate["services"][_first(estate["services"])].update(
        on=[_first(estate["servers"])] * 2
    ),
    "neither url nor host": lambda estate: estate["links"][_first(estate["links"])].update(providers={"somebody": {}}),
    "no share": lambda estate: estate["products"][_first(estate["products"])].update(objective={"availability": 1}),
}
# Pairs in which one mistake writes over the other.
SAME_KEY = [{"a dangling reference", "a server twice"}]


def _first(names: dict[str, Any]) -> str:
    return next(iter(names))


def _last(names: dict[str, Any]) -> str:
    return list(names)[-1]


def said(data: dict[str, Any]) -> set[str]:
    """What the problems say, without their lines: a second mistake moves the first."""
    answer = read(as_file(data))
    assert isinstance(answer, tuple), "the mistake is not seen"
    return {re.sub(r"line \d+", "line", problem.found) for problem in answer}


def with_mistakes(*names: str) -> dict[str, Any]:
    estate = {**load(LITTORAL).as_json(), "people": {}}
    for name in names:
        MISTAKES[name](estate)
    return estate


@pytest.mark.parametrize("first", MISTAKES)
def test_a_second_mistake_never_hides_the_first(first: str) -> None:
    once = said(with_mistakes(first))
    for second in MISTAKES:
        if first != second and {first, second} not in SAME_KEY:
            hidden = once - said(with_mistakes(second, first))
            assert not hidden, f"{second} hides {first}"


@pytest.mark.parametrize("path", sorted(REFUSED.glob("*.yaml")), ids=lambda path: path.stem)
def test_reading_a_bad_file_again_says_the_same(path: Path) -> None:
    assert read(path.read_bytes()) == read(path.read_bytes())
