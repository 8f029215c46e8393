"""Bad files, one case a file: what a tired engineer is told.

Each `refused/NAME.yaml` says in its first line what is wrong with it (where it has lines at all), and
`refused/NAME.txt` beside it holds the problems, one a line: `line:column: found; expected …  remedy`. A new case is a
new .yaml; `pytest tests/estate/test_refused.py --rewrite` then writes its .txt, which is read, as an engineer would
at 00:45, before it is committed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from binome.estate import EstateError, Problem, load

REFUSED = Path(__file__).parent / "refused"
CASES = sorted(path.stem for path in REFUSED.glob("*.yaml"))

# Words of the machinery: an engineer who meets one of them is told about Python, not about the file.
INTERNAL = ("tuple", "dict", "pydantic", "NoneType", "literal", "model_", "str_", "_type", "extra_forbidden", "None ")


def problems_of(raw: bytes) -> tuple[Problem, ...]:
    with pytest.raises(EstateError) as refused:
        load(raw)
    return refused.value.problems


def assert_inside(raw: bytes, problems: tuple[Problem, ...]) -> None:
    """Every position lies in the file, or right behind the end of one of its lines."""
    lines = raw.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    for problem in problems:
        assert 1 <= problem.place.line <= len(lines), problem
        assert 1 <= problem.place.column <= len(lines[problem.place.line - 1]) + 1, problem


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_refused_with_what_to_do(case: str, rewrite: bool) -> None:
    raw = (REFUSED / f"{case}.yaml").read_bytes()
    problems = problems_of(raw)
    found = "".join(f"{problem}\n" for problem in problems)
    expected = REFUSED / f"{case}.txt"
    if rewrite:
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")
    assert_inside(raw, problems)


def test_every_expected_text_has_its_file() -> None:
    assert sorted(path.stem for path in REFUSED.glob("*.txt")) == CASES


@pytest.mark.parametrize("case", CASES)
def test_a_message_is_one_line_that_any_terminal_can_show(case: str) -> None:
    for problem in problems_of((REFUSED / f"{case}.yaml").read_bytes()):
        assert str(problem).isprintable()
        assert not [word for word in INTERNAL if word in str(problem)], problem
        assert problem.found
        assert problem.expected
        assert problem.remedy.endswith((".", "?"))


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_said_twice(case: str) -> None:
    problems = problems_of((REFUSED / f"{case}.yaml").read_bytes())
    assert len({(problem.place, problem.found) for problem in problems}) == len(problems)
    assert list(problems) == sorted(problems)


def test_a_secret_is_never_repeated() -> None:
    text = "\n".join(map(str, problems_of((REFUSED / "notations.yaml").read_bytes())))
    assert "hunter2" not in text
    assert "12345" not in text
