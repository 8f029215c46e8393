"""Every rule has its page; the page's bad example is found, the good one is not."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from binome.analysis.findings import Finding, every_rule, judge
from binome.analysis.outcome import Platform
from binome.analysis.survey import survey
from binome.estate import load

PAGES = Path("docs/rules")
TODAY = date(2026, 11, 1)
RULES = [rule.id for rule in every_rule()]


def findings_of(text: str, today: date = TODAY) -> list[Finding]:
    return judge(survey(Platform(load(text.encode()))), today)


def rules_of(text: str) -> set[str]:
    return {finding.rule for finding in findings_of(text)}


def test_the_rules_are_those_of_the_folder() -> None:
    files = Path("src/binome/analysis/rules").glob("*.py")
    assert sorted(RULES) == sorted(file.stem.replace("_", "-") for file in files if file.stem != "__init__")


def test_no_page_is_left_of_a_rule_that_is_gone() -> None:
    assert sorted(RULES) == sorted(page.stem for page in PAGES.glob("*.md"))


@pytest.mark.parametrize("rule", RULES)
def test_the_page_of_a_rule(rule: str) -> None:
    text = (PAGES / f"{rule}.md").read_text()
    assert text.startswith(f"# {rule}\n\nSeverity: ")
    assert "\n## Why\n" in text
    bad, good = re.findall(r"## (?:Bad|Good)\n\n```yaml\n(.*?)```", text, re.DOTALL)
    assert rule in rules_of(bad)
    assert rule not in rules_of(good)


@pytest.mark.parametrize("rule", RULES)
def test_the_good_example_cures_the_bad_one_without_a_new_illness(rule: str) -> None:
    bad, good = re.findall(r"```yaml\n(.*?)```", (PAGES / f"{rule}.md").read_text(), re.DOTALL)
    assert rules_of(good) < rules_of(bad)


def test_a_section_can_be_the_subject_of_an_acceptance() -> None:
    text = "sites: {a: {}}\nservers: {x: {site: a}}\nlookout: {on: x}\n"
    assert [one.counts for one in findings_of(text)] == [True]
    text += "accept: [{rule: too-few-lookout-sites, subject: lookout, reason: soon, until: 2999-01-01}]\n"
    assert [one.counts for one in findings_of(text)] == [False]


def test_the_first_estate_of_the_documentation_says_what_it_promises() -> None:
    page = Path("docs/check.md").read_text()
    first = re.search(r"```yaml\n(estate: shop.*?)```", page, re.DOTALL)
    assert first
    found = next(one for one in findings_of(first[1]) if one.found.severity.name == "ERROR")
    assert (found.rule, found.found.subject) == ("pair-in-one-domain", "db")
    assert "on: [gra-db, sbg-spare]" in str(found.found.remedy)


def test_two_products_of_different_patience_make_one_finding() -> None:
    page = (PAGES / "takeover-against-rto.md").read_text()
    bad = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    bad = bad.replace("products: {", "products: {calm: {needs: [database], objective: {rto: 5m}}, ")
    found = [one for one in findings_of(bad) if one.rule == "takeover-against-rto"]
    assert len(found) == 1
    assert "shop promises to be back in 1 min" in found[0].found.message
