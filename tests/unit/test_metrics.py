from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elenchus.errors import UserError
from elenchus.metrics import calibration, catalogue, correction, critique, passk

SAMPLES = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=7)


def over_subsets(n, k, hit):
    return np.mean([hit(subset) for subset in combinations(range(n), k)])


@pytest.mark.parametrize(
    ("n", "c", "k", "s", "value"),
    [
        (5, 2, 1, 1, 0.4),
        (5, 2, 2, 1, 0.7),
        (5, 2, 3, 2, 0.3),
        (4, 3, 3, 2, 1.0),
        (32, 4, 32, 4, 1.0),
        (32, 3, 32, 4, 0.0),
    ],
)
def test_pass_at_ks_by_hand(n, c, k, s, value):
    assert passk.pass_at_ks(n, c, k, s) == pytest.approx(value)


def test_pass_at_ks_groups_lets_a_duplicate_stand_in():
    # samples a a b x, pairs: 6, of which a-b twice hold both solutions
    assert passk.pass_at_ks_groups(4, [2, 1], 2, 2) == pytest.approx(1 / 3)
    assert passk.pass_at_ks(4, 2, 2, 2) == pytest.approx(1 / 6)


@given(SAMPLES, st.data())
def test_pass_at_ks_groups_is_the_mean_over_subsets(samples, data):
    k, s = data.draw(st.integers(1, len(samples))), data.draw(st.integers(1, 4))
    groups = passk.groups_of([x for x in samples if x is not None])
    exact = over_subsets(len(samples), k, lambda at: len({samples[i] for i in at} - {None}) >= s)
    assert passk.pass_at_ks_groups(len(samples), groups, k, s) == pytest.approx(exact)


@given(st.integers(1, 12), st.data())
def test_pass_at_ks_agrees_with_groups_without_duplicates_and_at_n(n, data):
    c, k, s = data.draw(st.integers(0, n)), data.draw(st.integers(1, n)), data.draw(st.integers(1, 4))
    assert passk.pass_at_ks(n, c, k, s) == pytest.approx(passk.pass_at_ks_groups(n, [1] * c, k, s))
    groups = [2] * (c // 2)
    assert passk.pass_at_ks(n, len(groups), n, s) == pytest.approx(passk.pass_at_ks_groups(n, groups, n, s))
    assert passk.pass_at_k(n, c, k) == pytest.approx(1 - comb(n - c, k) / comb(n, k))


@pytest.mark.parametrize("k", [0, 4])
def test_k_outside_the_samples_is_refused(k):
    with pytest.raises(ValueError, match=f"k = {k} is not in 1 .. n = 3"):
        passk.pass_at_k(3, 1, k)


def test_majority_by_hand():
    # pairs of a a b: aa is right, ab ties twice
    assert passk.majority_at_k(["a", "a", "b"], [True, True, False], 2) == pytest.approx(2 / 3)
    assert passk.majority_at_k(["a", "a", "b"], [True, True, False], 3) == 1.0
    assert passk.majority_at_k(["a", "b", "b"], [True, False, False], 3) == 0.0
    assert passk.majority_at_k([None, None, "a"], [False, False, True], 3) == 1.0
    assert passk.majority_at_k([None, None], [False, False], 1) == 0.0


def test_majority_by_subsampling_is_near_the_exact_value_and_repeats():
    answers = ["a"] * 9 + ["b"] * 8 + ["c"] * 3
    right = [a == "a" for a in answers]
    exact = passk.majority_at_k(answers, right, 5, draws=comb(20, 5))
    sampled = passk.majority_at_k(answers, right, 5, seed=3)
    assert sampled == passk.majority_at_k(answers, right, 5, seed=3)
    assert sampled != passk.majority_at_k(answers, right, 5, seed=4)
    assert abs(sampled - exact) < 0.08  # 400 draws: standard error below 0.025


def test_reward_by_hand():
    scores, right = [0.9, 0.5, 0.1], [True, False, True]
    assert passk.best_of_k(scores, right, 2) == pytest.approx(2 / 3)
    assert passk.reward_at_ks(scores, right, 2, 2) == pytest.approx(1 / 3)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=7), st.data())
def test_reward_is_the_mean_over_subsets(samples, data):
    scores, right = [x for x, _ in samples], [r for _, r in samples]
    k = data.draw(st.integers(1, len(samples)))
    s = data.draw(st.integers(1, k))

    def hit(at):
        return all(right[i] for i in sorted(at, key=lambda i: (-scores[i], i))[:s])

    assert passk.reward_at_ks(scores, right, k, s) == pytest.approx(over_subsets(len(samples), k, hit))


def test_diversity_by_hand():
    assert passk.diversity([["1 + 1 = 2", "2 * 2 = 4"], ["1 + 1 = 2", "2 + 2 = 4"]]) == pytest.approx(3 / 4)
    assert passk.diversity([]) is None


# ProcessBench, GSM8K subset: 207 erroneous and 193 correct solutions. "Right answer: -1, else step 0" finds 33 first
# errors, "... else the middle step" 61; F1 27.50 and 45.52 from the published data with the published script.
@pytest.mark.parametrize(("found", "f1"), [(33, 27.50), (61, 45.5224), (0, 0.0), (207, 100.0)])
def test_first_error_f1_on_processbench(found, f1):
    labels = [2] * 207 + [-1] * 193
    predictions = [2] * found + [1] * (207 - found) + [-1] * 193
    scores = critique.first_error(labels, predictions)
    assert 100 * scores.f1 == pytest.approx(f1, abs=1e-4)
    assert (scores.erroneous, scores.correct) == (207, 193)


def test_first_error_never_matches_what_was_not_parsed():
    scores = critique.first_error([-1, 0, 3], [None, None, 2])
    assert (scores.f1, scores.acc_error, scores.acc_correct) == (0.0, 0.0, 0.0)
    assert not critique.first_error_hit(-1, None)
    assert not critique.verdict_hit(True, "") and not critique.verdict_hit(False, "")


def test_units_by_hand():
    assert critique.unit_counts([0, 2, 3], [2, 4]) == (1, 2, 3)
    assert critique.unit_f1(1, 2, 3) == pytest.approx((0.5, 1 / 3, 0.4))
    assert critique.unit_f1(0, 0, 0) == (0.0, 0.0, 0.0)
    assert critique.jaccard([1, 2], [2, 3]) == pytest.approx(1 / 3)
    assert critique.jaccard([], []) == 1.0


def test_vote_drops_unparsed_and_breaks_ties_by_order():
    assert critique.vote([None, None, 2]) == 2
    assert critique.vote([3, -1, -1, 3]) == 3
    assert critique.vote([None]) is None


def test_correction_by_sampling_by_hand():
    # problem p: right right wrong wrong -> right wrong right wrong; q: right right -> right right
    problem = ["p"] * 4 + ["q"] * 2
    before = [1, 1, 0, 0, 1, 1]
    after = [1, 0, 1, 0, 1, 1]
    got = correction.by_sampling(problem, before, after)
    assert got.acc1 == pytest.approx(0.75)  # (1/2 + 1) / 2
    assert got.acc2 == pytest.approx(0.75)
    assert got.cl == pytest.approx((0.5 * 0.5 + 1) / 1.5)
    assert got.cs == pytest.approx(0.5)
    assert got.rss == pytest.approx(0.5)
    shares = correction.flips(before, after)
    assert [round(shares[f] * 6) for f in correction.FLIPS] == [3, 1, 1, 1]


def test_correction_by_logits_by_hand():
    got = correction.by_logits([[0.7, 0.3]], [[[0.9, 0.1], [0.4, 0.6]]], [0])
    assert (got.acc1, got.acc2, got.cl, got.cs) == pytest.approx((0.7, 0.75, 0.9, 0.4))
    assert got.rss == pytest.approx((0.75 - 0.49) / 0.42)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_correction_identity(attempts):
    problem, before, after = zip(*attempts, strict=True)
    got = correction.by_sampling(problem, before, after)
    cl, cs = np.nan_to_num(got.cl), np.nan_to_num(got.cs)
    assert got.acc2 == pytest.approx(got.acc1 * cl + (1 - got.acc1) * cs)
    assert np.isnan(got.rss) == (got.acc1 in (0.0, 1.0))
    assert sum(correction.flips(before, after).values()) == pytest.approx(1.0)


@settings(max_examples=50)
@given(st.integers(1, 4), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_logits_identity_and_agreement_with_sampling(n, labels, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.dirichlet(np.ones(labels), n), rng.dirichlet(np.ones(labels), (n, labels))
    gold = rng.integers(0, labels, n)
    got = correction.by_logits(first, second, gold)
    assert got.acc2 == pytest.approx(got.acc1 * got.cl + (1 - got.acc1) * got.cs)
    direct = np.mean([first[i] @ second[i][:, gold[i]] for i in range(n)])
    assert got.acc2 == pytest.approx(direct)


def test_rss_bounds():
    assert correction.rss(0.6, 0.6) == pytest.approx(0.5)
    assert correction.rss(0.6, 0.36) == pytest.approx(0.0)
    assert correction.rss(0.6, 2 * 0.6 - 0.36) == pytest.approx(1.0)
    assert np.isnan(correction.rss(1.0, 1.0))


def test_calibration_by_hand():
    confidence, hit = [0.95, 0.95, 0.05, 1.0], [1, 0, 0, 1]
    assert calibration.brier(confidence, hit) == pytest.approx((0.05**2 + 0.95**2 + 0.05**2) / 4)
    # one bin holds 0.95, 0.95 and 1.0 (gap 2.9 - 2), another 0.05 (gap 0.05)
    assert calibration.ece(confidence, hit) == pytest.approx((0.9 + 0.05) / 4)
    with pytest.raises(ValueError, match="must lie in"):
        calibration.ece([1.2], [1])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_ece_is_at_most_the_mean_gap_and_at_least_the_overall_gap(samples):
    confidence, hit = np.array([c for c, _ in samples]), np.array([h for _, h in samples], dtype=float)
    gap = confidence - hit
    assert abs(gap.mean()) - 1e-9 <= calibration.ece(confidence, hit) <= np.abs(gap).mean() + 1e-9


def test_catalogue_finds_numbered_metrics_and_refuses_others():
    assert catalogue.find("pass@32-4").says.startswith("chance")
    assert catalogue.parts_of("first_error_f1") == ("acc_error", "acc_correct")
    for wrong in ("pass@", "pass@x", "acc_eror", "accuracy@4"):
        with pytest.raises(UserError, match="unknown metric"):
            catalogue.find(wrong)
    parts = ["pass@16", "pass@8-4", "pass@8", "acc1", "acc2", "acc_error"]
    assert catalogue.computable(parts) == ["acc_error", "acc1", "acc2", "delta", "rss", "pass@8", "pass@8-4", "pass@16"]


def test_catalogue_statistics_are_the_plain_functions():
    assert catalogue.harmonic(np.array([0.5, 1.0])) == pytest.approx(critique.harmonic(0.5, 1.0))
    assert catalogue.harmonic(np.zeros(2)) == 0.0
    assert catalogue.relative_gain(np.array([0.6, 0.6])) == pytest.approx(0.5)
    assert catalogue.absolute_sum(np.array([[0.1, -0.2]])) == pytest.approx([0.3])
