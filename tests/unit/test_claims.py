"""Verdicts of claims: by hand at the edges, and how often each comes about on synthetic data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from elenchus.claims import Claim, verdict
from elenchus.errors import UserError
from elenchus.metrics import bootstrap


def claim(**facts) -> Claim:
    """Return a claim that a beats b in pass@1."""
    given = {"paper": "+1", "metric": "pass@1", "better": {"arm": "a"}, "than": {"arm": "b"}, **facts}
    return Claim.of("a is better than b", "test", given)


def seen(value, low, high, seeds=3) -> dict:
    """Return a comparison."""
    return {"value": value, "low": low, "high": high, "seeds": seeds}


@pytest.mark.parametrize(
    ("facts", "comparison", "word"),
    [
        ({}, seen(0.05, 0.01, 0.09), "holds"),
        ({}, seen(0.05, -0.01, 0.09), "inconclusive"),
        ({}, seen(-0.05, -0.09, -0.01), "contradicted"),
        ({}, seen(0.05, 0.01, 0.09, seeds=2), "inconclusive"),
        ({}, seen(None, None, None), "inconclusive"),
        ({"direction": "lower"}, seen(-0.05, -0.09, -0.01), "holds"),
        ({"direction": "lower"}, seen(0.05, 0.01, 0.09), "contradicted"),
        ({"metric": "right_to_wrong"}, seen(-0.05, -0.09, -0.01), "holds"),  # less of it is better
        ({"margin": 0.02}, seen(0.05, 0.01, 0.09), "inconclusive"),
        ({"margin": 0.02}, seen(0.01, 0.005, 0.015), "contradicted"),
        ({"margin": -0.02}, seen(0.0, -0.01, 0.01), "holds"),  # not worse by more than 0.02
        ({"margin": 0.02, "direction": "lower"}, seen(-0.05, -0.09, -0.03), "holds"),
        ({"than": None, "metric": "cl", "margin": 0.5}, seen(0.6, 0.55, 0.65), "holds"),
    ],
)
def test_verdicts_by_hand(facts, comparison, word):
    assert verdict(claim(**facts), comparison).verdict == word


def test_unequal_budgets_do_not_compare():
    good = seen(0.05, 0.01, 0.09)
    same = {"sampled": 100, "trained": 1000}
    assert verdict(claim(), good, (same, {"sampled": 109, "trained": 1000})).verdict == "holds"
    found = verdict(claim(), good, (same, {"sampled": 100, "trained": 1200}))
    assert found.verdict == "not comparable" and found.why == "trained: 1,000 against 1,200"
    assert verdict(claim(equal=("sampled",)), good, (same, {"sampled": 100, "trained": 1200})).verdict == "holds"
    assert verdict(claim(), good, (same, {"sampled": 0, "trained": 1000})).verdict == "not comparable"


def test_a_wrong_claim_is_refused_with_its_key():
    with pytest.raises(UserError, match=r"recipe x: claim 'a is better than b'.*unknown key 'marign'.*margin"):
        Claim.of("a is better than b", "recipe x", {"paper": "+1", "metric": "cl", "better": {"arm": "a"}, "marign": 1})
    with pytest.raises(UserError, match="unknown metric"):
        claim(metric="pas@1")
    with pytest.raises(UserError, match=r"equal.*sampled"):
        claim(equal=("tokens",))


def words(effect: float, runs: int = 250, **facts) -> dict[str, float]:
    """Return how often each verdict comes about for arms whose true difference is `effect`.

    Three seeds of 120 problems; problems and seeds have their own difficulty and their own response to the method.
    """
    draw = np.random.default_rng(11)
    count: dict[str, int] = {}
    for _ in range(runs):
        easy = draw.normal(0, 0.2, 120) + draw.normal(0, 0.05, (3, 1))
        likes = draw.normal(0, 0.05, 120) + draw.normal(0, 0.02, (3, 1)) + effect
        arms = [np.clip(0.5 + easy + of, 0.02, 0.98) for of in (likes, 0)]
        arms = [draw.binomial(8, p)[None] / 8 for p in arms]
        weights = np.ones_like(arms[0])
        d = bootstrap.difference((arms[0], weights), (arms[1], weights), draws=200)
        word = verdict(claim(**facts), {"value": d.value, "low": d.low, "high": d.high, "seeds": 3}).verdict
        count[word] = count.get(word, 0) + 1
    return {w: n / runs for w, n in count.items()}


def test_under_the_null_few_claims_are_decided():
    found = words(0.0)
    assert found.get("holds", 0) <= 0.06 and found.get("contradicted", 0) <= 0.06  # 0.025 each, and its sampling error


def test_a_true_claim_holds_and_a_false_one_is_contradicted():
    assert words(0.15)["holds"] > 0.9
    assert words(-0.15)["contradicted"] > 0.9
    at_margin = words(0.15, margin=0.15)
    assert at_margin.get("holds", 0) <= 0.07 and at_margin.get("contradicted", 0) <= 0.07
