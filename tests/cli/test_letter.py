"""Letters: what they say of products, that they cannot leave it out, and that only a person sends them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from binome.cli.main import app
from binome.core.letter import Known, Statement, denials, duration, left_out, statements
from tests.cli.test_door_commands import Door, door
from tests.cli.test_incident_commands import WHOLE

__all__ = ["door"]

MORE = {"takeover_ms": 0, "unsure": []}
PRODUCTS = {
    "website": {**WHOLE["products"]["website"], **MORE},
    "campaigns": {**WHOLE["products"]["campaigns"], **MORE, "takeover_ms": 1_400},
    "presence": {**WHOLE["products"]["campaigns"], **MORE},
}
ONE: dict[str, Any] = {**WHOLE, "products": PRODUCTS, "headline": "Site strasbourg lost", "until": None}


def run(door: Door, *arguments: str, **values: Any) -> Any:
    door.answer = {"estate": "littoral", "incident": {**ONE, **values}}
    return CliRunner().invoke(app, ["letter", "14", *arguments, "--socket", str(door.path)], input="n\n")


@pytest.mark.parametrize("to", ["staff", "customers"])
@pytest.mark.parametrize(
    ("lang", "hit", "more"),
    [
        ("en", "website could not be used since 00:47:12 CET, and still: 60 s in all.",
         ("for about 2 s changes", "no outage")),
        ("fr", "website n'a pas pu être utilisé depuis 00:47:12 CET, et encore maintenant : 60 s au total.",
         ("pendant 2 s environ", "aucune interruption")),
    ],
)  # fmt: skip
def test_every_product_is_told_as_its_intervals_say(
    door: Door, to: str, lang: str, hit: str, more: tuple[str, str]
) -> None:
    moved, well = more
    result = run(door, "--to", to, "--lang", lang)
    flat = " ".join(result.output.split())
    assert result.exit_code == 0, result.output
    assert hit in flat
    assert moved in flat
    assert f"presence{' :' if lang == 'fr' else ':'} {well}" in flat
    assert all(len(line) <= 100 for line in result.output.splitlines())


def test_a_template_that_leaves_out_what_was_hit_is_refused(door: Door, tmp_path: Path) -> None:
    (tmp_path / "customers.en.txt").write_text("Subject: all is well\n\nThere was no impact on website.\n")
    result = run(door, "--to", "customers", "--templates", str(tmp_path))
    assert result.exit_code == 1
    assert "leaves out what happened to campaigns, website; nothing was sent" in result.output
    assert "no impact" not in result.output


@pytest.mark.parametrize(
    ("lang", "free", "denied"),
    [
        ("en", "There was no impact on website.", "no impact"),
        ("en", "Our customers were not affected.", "not affected"),
        ("en", "No customer was\n affected.", "No customer was affected"),
        ("en", "All went on without interruption.", "without interruption"),
        ("en", "Customers weren\u2019t affected.", "weren't affected"),
        ("en", "It had zero impact.", "zero impact"),
        ("fr", "Aucune perturbation n'est à signaler.", "Aucune perturbation"),
        ("fr", "Il n\u2019y a eu aucun impact.", "aucun impact"),
        ("fr", "Vos services n'ont pas été touchés.", "pas été touchés"),
    ],
)
def test_a_template_that_denies_what_it_says_is_refused(
    door: Door, tmp_path: Path, lang: str, free: str, denied: str
) -> None:
    body = "{% for one in statements %}{{ one.text }}\n{% endfor %}"
    path = tmp_path / f"customers.{lang}.txt"
    path.write_text(f"Subject: x\n\n{free}\n{body}")
    result = run(door, "--to", "customers", "--lang", lang, "--templates", str(tmp_path))
    assert result.exit_code == 1, result.output
    assert f"the template says {denied!r}, and the facts say otherwise; nothing was sent" in result.output
    path.write_text(f"Subject: x\n\nWe know how bad that was for you.\n{body}")
    assert run(door, "--to", "customers", "--lang", lang, "--templates", str(tmp_path)).exit_code == 0
    path.write_text(f"Subject: x\n\n{free}\n{body}")
    well = {name: {**one, "intervals": [], "takeover_ms": 0} for name, one in PRODUCTS.items()}
    result = run(door, "--to", "customers", "--lang", lang, "--templates", str(tmp_path), products=well)
    assert result.exit_code == 0, "where nothing was hit it may be said"


def test_what_people_wrote_into_the_log_book_denies_nothing(door: Door) -> None:
    why = {
        **WHOLE["moments"][0],
        "kind": "decided",
        "said": "maintenance of web, 2 steps: new disks, no impact expected",
    }
    result = run(door, "--to", "staff", moments=[why])
    assert (result.exit_code, "no impact expected" in " ".join(result.output.split())) == (0, True), result.output


def test_a_resolved_incident_is_told_as_over_with_its_whole_time(door: Door) -> None:
    span = {**WHOLE["products"]["website"]["intervals"][0], "until": "00:48:12 CET", "until_ms": 1}
    doubt = {**PRODUCTS["website"], "intervals": [span, span], "confirmed": False}
    for lang, words in (
        (
            "en",
            ("It is over since 00:49:00 CET", "Too few vantage points", "to 00:48:12 CET and from"),
        ),
        ("fr", ("est terminé depuis 00:49:00 CET", "Trop peu de points", "de 00:47:12 CET à 00:48:12 CET et de")),
    ):
        result = run(
            door, "--to", "staff", "--lang", lang, products={"website": doubt}, state="resolved", until="00:49:00 CET"
        )
        flat = " ".join(result.output.split())
        assert all(one in flat for one in words), flat


@pytest.mark.parametrize(
    ("lang", "goes_on", "over"),
    [("en", "An incident is under way", "An incident is over"), ("fr", "Un incident est en cours", "est terminé")],
)
def test_a_resolved_incident_is_not_over_for_whom_it_still_hits(door: Door, lang: str, goes_on: str, over: str) -> None:
    result = run(door, "--to", "customers", "--lang", lang, state="resolved", until="00:49:00 CET")
    assert f"Subject: {goes_on}" in result.output
    assert over not in result.output


def test_of_an_incident_that_was_joined_there_is_no_letter_but_the_number_of_the_one_that_goes_on(door: Door) -> None:
    result = run(door, "--to", "staff", state="resolved", into=15)
    assert (result.exit_code, "incident 14 goes on as incident 15" in result.output) == (2, True), result.output


def test_a_true_statement_is_passed_over_only_where_it_stands_by_itself() -> None:
    hit, well = Statement("web", "web was hit.", hit=True), Statement("shop", "shop: no outage was seen.", hit=False)
    assert denials("web was hit. shop: no outage was seen.", [hit, well]) == []
    assert denials("web was hit. web-shop: no outage was seen.", [hit, well]) == ["no outage"]


def test_a_name_with_a_hyphen_is_not_broken(door: Door) -> None:
    name = "-".join(["campaigns"] * 7)
    result = run(door, "--to", "customers", products={name: PRODUCTS["website"]})
    assert name in result.output


@pytest.mark.parametrize("text", ["{{ nothing }}", "{% if %}", "{{ ''.__class__.__mro__ }}"])
def test_a_template_that_is_none_or_reaches_out_ends_with_a_line(door: Door, tmp_path: Path, text: str) -> None:
    (tmp_path / "staff.en.txt").write_text(text)
    result = run(door, "--to", "staff", "--templates", str(tmp_path))
    assert (result.exit_code, result.output.count("\n")) == (2, 1), result.output


def test_it_is_sent_only_by_a_person_who_says_yes(door: Door, tmp_path: Path) -> None:
    example = (Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_text()
    estate = tmp_path / "estate.yaml"
    estate.write_text(example.replace("host: mx.page.example", "host: mx.page.example, from: ops-1@littoral.example"))
    result = run(door, "--to", "staff", "--send", "--estate", str(estate))
    assert (result.exit_code, "Nothing was sent." in result.output) == (0, True), result.output
    assert run(door, "--to", "staff", "--send").exit_code == 2
    assert run(door, "--to", "customers", "--send", "--estate", str(estate)).exit_code == 2


def test_json_has_the_letter_and_what_it_must_say(door: Door) -> None:
    answer = json.loads(run(door, "--to", "staff", "--json").stdout)
    assert [one["product"] for one in answer["statements"] if one["hit"]] == ["campaigns", "website"]
    assert answer["subject"] == "Incident 14: Site strasbourg lost"


def test_what_nobody_knows_is_neither_well_nor_left_out() -> None:
    (said,) = statements([Known("website", unsure=("web",))], "en")
    assert "nobody knows" in said.text
    assert left_out("all is well", [said]) == ["website"]
    assert left_out(said.text.replace(" ", "\n"), [said]) == []
    assert [duration(ms) for ms in (1, 1_001, 120_001, 7_200_001)] == ["1 s", "2 s", "3 min", "2 h 1 min"]
