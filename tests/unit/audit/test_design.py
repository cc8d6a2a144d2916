"""What is drawn: every unit with the probability that is said."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from planewise.audit.design import cut, draw, generator, share_out


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0.1, 50), min_size=1, max_size=80),
    st.integers(1, 90),
    st.sampled_from(["stratified", "systematic"]),
)
def test_strata_fill_the_population_and_give_the_items(weights, items, design):
    strata = cut(design, np.array(weights), items)
    assert [start for start, _, _ in strata] == [0, *(stop for _, stop, _ in strata[:-1])]
    assert strata[-1][1] == len(weights)
    assert sum(count for *_, count in strata) == min(items, len(weights))
    drawn = draw(design, strata, np.random.default_rng(0))
    for stratum, (start, stop, count) in zip(drawn, strata):
        assert len(set(stratum.drawn)) == count >= 1
        assert all(start <= place < stop for place in stratum.drawn)
        assert count >= min(2, items) or count == stop - start  # so that each shows how units differ


def test_a_heavy_unit_is_drawn_for_certain():
    weights = np.r_[np.ones(40), 400, 500]
    strata = draw("stratified", cut("stratified", weights, 16), np.random.default_rng(0))
    probabilities = {stratum.stop: stratum.probability for stratum in strata}
    assert probabilities[42] == 1
    assert sum(len(stratum.drawn) for stratum in strata) == 16


def test_every_start_of_a_systematic_sample_counts_each_unit_as_often():
    """7 of 30 units: over all starts, each unit is drawn with probability 7 / 30."""

    class Start:
        def __init__(self, value):
            self.value = value

        def random(self):
            return self.value

    starts = 2100
    counts = np.zeros(30)
    for number in range(starts):
        (stratum,) = draw("systematic", [(0, 30, 7)], Start((number + 0.5) / starts))
        assert len(set(stratum.drawn)) == 7
        counts[list(stratum.drawn)] += 1
    assert np.allclose(counts / starts, 7 / 30, atol=2 / starts)


def test_units_of_a_stratum_are_drawn_alike():
    counts = np.zeros(20)
    for seed in range(3000):
        for stratum in draw("stratified", [(0, 8, 2), (8, 20, 6)], generator(seed, "case")):
            counts[list(stratum.drawn)] += 1
    assert np.allclose(counts[:8] / 3000, 0.25, atol=0.04)
    assert np.allclose(counts[8:] / 3000, 0.5, atol=0.04)


def test_a_seed_draws_the_same_again_and_each_population_otherwise():
    strata = [(0, 1000, 5)]
    assert draw("stratified", strata, generator(3, "a")) == draw("stratified", strata, generator(3, "a"))
    assert draw("stratified", strata, generator(3, "a")) != draw("stratified", strata, generator(3, "b"))


def test_items_are_shared_out():
    assert share_out(8, 3) == [3, 3, 2]
    assert share_out(2, 3) == [1, 1, 0]
