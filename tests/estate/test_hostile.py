"""Files made to harm: a megabyte of one thing, each refused with a line number, and soon.

The bound is generous, because a busy machine is slow; what it catches is time that grows with the square of the
size, which at these sizes is minutes.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from binome.estate import MAX_BYTES, EstateError, load
from tests.estate.test_refused import assert_inside, problems_of

MEBIBYTE = 1 << 20
SECONDS = 5.0


def lines(pattern: str, count: int, head: str = "") -> bytes:
    return (head + "".join(pattern.format(i=i, j=i + 1) for i in range(count))).encode()


def laughs(width: int) -> bytes:
    """Ten levels of aliases, each `width` times the one before."""
    letters = "abcdefghij"
    first = f"a: &a [{', '.join(['ha'] * width)}]\n"
    return (first + "".join(f"{k}: &{k} [{', '.join([f'*{p}'] * width)}]\n" for p, k in pairwise(letters))).encode()


HOSTILE = {
    "brackets": b"[" * MEBIBYTE,
    "braces": b"{a: " * (MEBIBYTE // 4),
    "brackets and braces": b"[{a: " * (MEBIBYTE // 5),
    "brackets under a key": b"sites: " + b"[" * MEBIBYTE + b"]" * MEBIBYTE,
    "lists in lists": b"- " * (MEBIBYTE // 2),
    "keys that are keys": b"? " * (MEBIBYTE // 2),
    "blocks in blocks": b"".join(b" " * depth + b"a:\n" for depth in range(1400)),
    "laughs": laughs(10),
    "aliases of a long text": b"a: &a " + b"x" * (MEBIBYTE // 2) + b"\nb: [" + b"*a," * (MEBIBYTE // 6) + b"]",
    "aliases of a mistake": lines("  s{i}: *a\n", 50_000, "a: &a {zzz: 1, site: nope}\nservers:\n"),
    "a line of dashes": b"-" * MEBIBYTE,
    "a line of spaces": b" " * MEBIBYTE,
    "NUL": b"\0" * MEBIBYTE,
    "control characters": b"\x01a" * (MEBIBYTE // 8),
    "tabs": b"\t\n" * (MEBIBYTE // 8),
    "no-break spaces": "\u00a0\n".encode() * (MEBIBYTE // 8),
    "carriage returns": b"a: b\r" * (MEBIBYTE // 8),
    "digits": b"lookout: {every: " + b"1" * MEBIBYTE + b"s, fall: 1." + b"1" * MEBIBYTE + b"}",
    "unknown keys": lines("k{i}: 1\n", 30_000),
    "keys given twice": b"k: 1\n" * (MEBIBYTE // 16),
    "bad names": lines("  S{i}: 1\n", 20_000, "servers:\n"),
    "references to nothing": lines("  s{i}: {{site: t{i}}}\n", 20_000, "sites: {}\nservers:\n"),
    "references nearly right": lines("  s{i}x: {{hoster: t{j}}}\n", 10_000, "sites:\n")
    + lines("  v{i}: {{site: s{i}}}\n", 10_000, "servers:\n"),
    "one name many times": b"services: {a: {kind: etcd, on: [" + b"a," * 50_000 + b"]}}",
    "many names": lines("s{i},", 50_000, "services: {a: {kind: etcd, on: [") + b"]}}",
    "many ports": lines("s{i}: {j},", 40_000, "services: {a: {kind: haproxy, on: x, routes: {") + b"}}}",
    "circles": lines("  s{i}: {{kind: etcd, on: x, needs: [s{j}, s0]}}\n", 15_000, "services:\n"),
    "subjects": lines("  - {{rule: x, subject: s{i}}}\n", 10_000, "accept:\n"),
    "more than is read": b"#" * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_soon(name: str) -> None:
    raw = HOSTILE[name]
    begun = time.process_time()
    problems = problems_of(raw)
    assert time.process_time() - begun < SECONDS
    assert_inside(raw[:MAX_BYTES], problems)
    assert all(len(str(problem)) < 700 for problem in problems)


@pytest.mark.parametrize(("size", "refused"), [(32, False), (33, True)])
def test_nesting_ends_where_the_message_says(size: int, refused: bool) -> None:
    text = str(problems_of(b"x: " + b"[" * (size - 1) + b"]" * (size - 1))[0])
    assert ("too many levels" in text) is refused


def test_an_alias_counts_by_the_length_of_its_text() -> None:
    assert "explode" in str(problems_of(HOSTILE["aliases of a long text"])[0])


def test_aliases_that_stay_small_are_good() -> None:
    raw = lines("  s{i}: *a\n", 10_000, "hosters: {ovh: {}}\nsites:\n  first: &a {hoster: ovh}\n")
    assert len(load(raw).sites) == 10_001


def test_ten_thousand_servers_are_read_soon() -> None:
    padding = "x" * 300
    raw = lines(f"  s{{i}}: {{{{site: here, in: [rack]}}}} # {padding}\n", 10_000, "sites: {here: {}}\nservers:\n")
    raw += lines("  w{i}: {{kind: http, on: [s{i}, s{j}], port: 8000}}\n", 5_000, "services:\n")
    raw += b"domains: {rack: {kind: rack, in: here}}\n"
    begun = time.process_time()
    try:
        assert len(load(raw).servers) == 10_000
    except EstateError as error:  # pragma: no cover - a readable failure instead of 10,000 lines
        pytest.fail(str(error)[:500])
    assert time.process_time() - begun < 6.0
