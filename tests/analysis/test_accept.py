"""What an acceptance takes out of the count of `survives-broken`: the effects that its finding is about, no more."""

from __future__ import annotations

from tests.analysis.test_remedies import judged

SITES = "sites: {a: {}, b: {}, c: {}}\ndomains: {house: {kind: building, in: a}}\n"
SERVERS = "servers: {x: {in: house}, y: {in: house}, z: {site: b}, w: {site: c}}\n"


def broken(text: str, *accepted: str) -> str:
    entries = ", ".join(f"{{{one}, reason: known, until: 2999-01-01}}" for one in accepted)
    every = judged(f"{text}accept: [{entries}]\n")
    return "; ".join(one.found.message for one in every if one.rule == "survives-broken")


def test_what_holds_an_accepted_place_is_accepted_with_it() -> None:
    text = SITES + SERVERS + "services: {web: {kind: http, on: [x, y]}}\nproducts: {p: {needs: [web], survives: one}}\n"
    assert "building house (gone)" in broken(text)
    assert not broken(text, "rule: pair-in-one-domain, subject: web")


def test_an_unrelated_loss_on_an_accepted_server_still_counts() -> None:
    services = "services: {one: {kind: http, on: [z]}, two: {kind: http, on: [z]}}\n"
    text = SITES + SERVERS + services + "products: {p: {needs: [one, two], survives: one}}\n"
    assert "server z (gone)" in broken(text, "rule: no-partner, subject: one")
    assert not broken(text, "rule: no-partner, subject: one", "rule: no-partner, subject: two")


def test_what_an_accepted_agreement_stops_is_accepted_with_it() -> None:
    services = "services: {agreed: {kind: etcd, on: [x, y, w]}, db: {kind: postgresql, on: [x, z], needs: [agreed]}}\n"
    text = SITES + SERVERS + services + "products: {p: {needs: [db], survives: one}}\n"
    assert "building house (manual)" in broken(text)
    assert not broken(text, "rule: agreement-in-one-domain, subject: agreed")


def test_an_accepted_registrar_is_accepted_for_its_names_alone() -> None:
    text = SITES.replace("house: {", "shop: {kind: registrar, in: b}, house: {") + SERVERS
    text += "services: {web: {kind: http, on: [z]}}\nnames: {web.example: {to: web, registrar: shop}}\n"
    text += "products: {p: {needs: [web], survives: one}}\n"
    assert "registrar shop (manual)" in broken(text)
    accepted = broken(text, "rule: one-registrar, subject: shop")
    assert "registrar" not in accepted
    assert "server z (gone)" in accepted
    assert not broken(text, "rule: one-registrar, subject: shop", "rule: no-partner, subject: web")


def test_pairs_are_held_against_a_promise_without_what_is_accepted() -> None:
    services = "services: {web: {kind: http, on: [x, z]}, api: {kind: http, on: [x, w]}}\n"
    text = SITES + SERVERS + services + "products: {p: {needs: [web, api], survives: two}}\n"
    said = broken(text)
    assert "a with b" in said.replace("site ", "")
    assert "a with c" in said.replace("site ", "")


def test_an_edge_that_routes_to_what_nobody_needs() -> None:
    services = "services:\n  web: {kind: http, on: [z]}\n  edge: {kind: haproxy, on: [x, w], routes: {web: 80}}\n"
    text = SITES + SERVERS + services
    rule = "route-without-need"
    assert rule not in {one.rule for one in judged(text)}  # without products each answers for itself
    alone = text + "products: {p: {needs: [edge], survives: one}}\n"
    finding = next(one for one in judged(alone) if one.rule == rule)
    assert "needs: [web]" in str(finding.found.remedy)
    both = text + "products: {p: {needs: [edge]}, q: {needs: [edge, web]}}\n"
    finding = next(one for one in judged(both) if one.rule == rule)
    assert finding.found.remedy.changes == ()
    assert rule not in {one.rule for one in judged(text + "products: {q: {needs: [edge, web]}}\n")}
    circle = alone.replace("on: [z]", "on: [z], needs: [edge]")
    assert next(one for one in judged(circle) if one.rule == rule).found.remedy.changes == ()


def test_an_acceptance_that_its_rule_can_never_match_is_reported() -> None:
    text = SITES + SERVERS + "accept: [{rule: one-registrar, subject: x, reason: r, until: 2999-01-01}]\n"
    every = [one.found.message for one in judged(text)]
    assert every == ["one-registrar is about a registrar, and x is none: nothing is accepted by it."]


def test_every_rule_says_what_its_subjects_are() -> None:
    from binome.analysis.findings import every_rule

    assert [rule.id for rule in every_rule() if not rule.subjects] == ["accept-unknown-rule"]
