import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elenchus.metrics import bootstrap, catalogue, items
from elenchus.metrics.bootstrap import difference, interval


def plain(z):
    z = np.asarray(z, dtype=float)[None]
    return z, np.ones_like(z)


def crossed_sample(rng, n_seeds, n_items, of_seeds, of_items, rest):
    return (
        of_seeds * rng.normal(size=(n_seeds, 1))
        + of_items * rng.normal(size=(1, n_items))
        + rest * rng.normal(size=(n_seeds, n_items))
    )


@pytest.mark.parametrize(
    ("n_seeds", "of_seeds", "of_items", "rest"),
    [(1, 0.0, 1.0, 0.0), (3, 0.3, 0.5, 1.0), (3, 1.0, 0.5, 0.5), (5, 0.1, 1.0, 0.5), (10, 0.5, 0.2, 0.2)],
)
def test_intervals_cover_the_truth(n_seeds, of_seeds, of_items, rest):
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        got = interval(*plain(crossed_sample(rng, n_seeds, 60, of_seeds, of_items, rest)), draws=400)
        hits += got.low <= 0 <= got.high
    assert 0.90 <= hits / 300 <= 0.98


def test_intervals_of_paired_differences_of_binary_outcomes_cover_the_truth():
    rng, hits = np.random.default_rng(6), 0
    for _ in range(300):
        ease = rng.uniform(0.2, 0.7, (1, 80))
        shift = 0.1 + 0.06 * rng.normal(size=(3, 1))
        arms = (rng.random((3, 80)) < ease + shift.clip(-0.2, 0.3)), (rng.random((3, 80)) < ease)
        got = difference(*(plain(a) for a in arms), draws=400)
        hits += got.low <= 0.1 <= got.high
    assert 0.90 <= hits / 300 <= 0.99


def test_intervals_cover_where_every_seed_has_problems_of_its_own():
    rng, hits = np.random.default_rng(7), 0
    for _ in range(300):
        values, weights = np.zeros((1, 4, 80)), np.zeros((1, 4, 80))
        for s in range(4):
            own = slice(20 * s, 20 * s + 20)
            values[0, s, own], weights[0, s, own] = 0.3 * rng.normal() + rng.normal(size=20), 1
        got = interval(values, weights, crossed=False, draws=400)
        hits += got.low <= 0 <= got.high
    assert 0.90 <= hits / 300 <= 0.98


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(3, 200)) * 0.1 + rng.normal(size=(1, 200))
    arms = plain(base + 0.05), plain(base + 0.02 * rng.normal(size=base.shape))
    paired = difference(*arms)
    alone = interval(*arms[0])
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)
    assert paired.low > 0


def test_value_effect_and_detectable_difference_by_hand():
    a, b = plain([[1, 1, 1, 0]]), plain([[0, 1, 0, 0]])
    got = difference(a, b)
    # differences 1 0 1 0: mean 0.5, standard deviation 1/sqrt(3), standard error 1/(2 sqrt(3)), 3 degrees of freedom
    assert got.value == 0.5
    assert got.effect == pytest.approx(0.5 * np.sqrt(3))
    assert got.se == pytest.approx(1 / (2 * np.sqrt(3)))
    assert got.mdd == pytest.approx((3.1824 + 0.9785) * got.se, rel=1e-3)
    assert (got.seeds, got.items, got.df) == (1, 4, 3)
    assert got.high - got.low == pytest.approx(2 * 3.1824 * got.se, rel=1e-3)


def test_weighted_ratio_and_composite_by_hand():
    values = np.array([[[0.5, 1.0]], [[0.0, 1.0]]])
    weights = np.array([[[2.0, 0.0]], [[1.0, 3.0]]])
    got = interval(values, weights, catalogue.harmonic)
    assert got.value == pytest.approx(2 * 0.5 * 0.75 / 1.25)


def test_delta_method_agrees_with_the_bootstrap_spread():
    rng = np.random.default_rng(1)
    values = (rng.random((2, 1, 400)) < np.array([0.3, 0.8])[:, None, None]).astype(float)
    weights = rng.integers(0, 3, values.shape).astype(float)
    spread = catalogue.harmonic(bootstrap._replicates(values, weights, 2000, 0)).std()
    assert interval(values, weights, catalogue.harmonic).se == pytest.approx(spread, rel=0.08)


def test_no_weight_gives_nan_and_no_variation_a_point():
    got = interval(np.zeros((1, 2, 3)), np.zeros((1, 2, 3)))
    assert np.isnan([got.value, got.low, got.high]).all()
    got = interval(*plain(np.full((3, 5), 0.25)))
    assert (got.value, got.low, got.high, got.se) == (0.25, 0.25, 0.25, 0.0)


def test_one_item_in_one_seed_has_no_interval():
    got = interval(*plain([[0.5]]))
    assert got.value == 0.5
    assert np.isnan([got.low, got.high]).all()


def test_bounds_cut_the_interval():
    got = interval(*plain([[1, 1, 1, 1, 1, 0]]), bounds=(0.0, 1.0))
    assert got.high == 1.0 and 0 < got.low < got.value


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_properties(n_seeds, n_items, seed):
    rng = np.random.default_rng(seed)
    a, b = plain(rng.random((n_seeds, n_items))), plain(rng.random((n_seeds, n_items)))
    one = interval(*a, seed=1)
    assert one == interval(*a, seed=1)
    assert one.low <= one.value <= one.high
    there, back = difference(a, b, seed=1), difference(b, a, seed=1)
    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    shifted = interval(a[0] + 5, a[1], seed=1)
    assert (shifted.low, shifted.high) == pytest.approx((one.low + 5, one.high + 5))


def test_another_seed_gives_other_draws():
    z = plain(np.random.default_rng(0).exponential(size=(2, 30)))
    assert interval(*z, seed=1).low != interval(*z, seed=2).low


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match="equal shapes"):
        difference(plain([[1, 2]]), plain([[1, 2, 3]]))


def table(rows):
    return pd.DataFrame(rows, columns=["metric", "item", "value", "weight"])


def test_stack_and_difference_of_tables():
    a = table(
        [
            ("acc_error", "p", 1.0, 2),
            ("acc_error", "q", 0.0, 0),
            ("acc_correct", "q", 1.0, 1),
            ("acc_correct", "p", 0.0, 1),
        ]
    )
    b = table([("acc_error", "q", 0.0, 1), ("acc_error", "p", 0.5, 2), ("acc_correct", "q", 1.0, 1)])
    of = items.stack([[a], [b]])
    assert of.items == ("p", "q") and of.crossed
    assert items.measured(of) == ["acc_error", "acc_correct", "first_error_f1"]
    assert items.interval(of, "acc_error").value == pytest.approx((2 + 1) / 5)
    got = items.difference(items.stack([[a]]), items.stack([[b]]), "acc_error")
    assert got.value == pytest.approx(1 - 1 / 3)
    assert got.low >= -1 and got.high <= 1


def test_unpaired_tables_and_repeated_items_are_refused():
    a, b = table([("accuracy", "p", 1.0, 1)]), table([("accuracy", "q", 1.0, 1)])
    with pytest.raises(ValueError, match="different problems"):
        items.difference(items.stack([[a]]), items.stack([[b]]), "accuracy")
    with pytest.raises(ValueError, match="twice"):
        items.stack([[a, a]])
    with pytest.raises(ValueError, match="2 seeds against 1"):
        items.difference(items.stack([[a], [a]]), items.stack([[a]]), "accuracy")


def test_stack_knows_nested_problems():
    assert not items.stack([[table([("accuracy", "p", 1.0, 1)])], [table([("accuracy", "q", 1.0, 1)])]]).crossed


def test_two_thousand_draws_over_many_problems_are_fast():
    z = plain(np.random.default_rng(0).random((5, 2000)))
    interval(*z)  # fills the cache of draws
    start = time.process_time()
    interval(*z)
    assert time.process_time() - start < 2
