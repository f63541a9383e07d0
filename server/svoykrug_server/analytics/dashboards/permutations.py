"""Counts who went from one business to another, and who would have if orders were chance.

**The null.** Within each member, the businesses of her purchases are put in a random order: her times stay, and how
often she bought where. So every business keeps its volume, every pair of businesses the members it shares, and heavy
buyers stay heavy; only the order is chance. Shuffling across members instead would call every shared taste a way from
one to the other. This is a restricted permutation, exchangeable within blocks: Good, Permutation, Parametric and
Bootstrap Tests of Hypotheses (2005); Winkler et al., NeuroImage 123 (2015).

**The p-value.** A member goes this way or not, independently of the others, so under the null the count is a sum of
independent yes-or-no draws with different chances. Its upper tail is at most that of a binomial one with the same mean
and number of members (Hoeffding, Ann. Math. Stat. 27, 1956, for counts at least one above the mean), so that is the
p-value: conservative, and not bounded below by the number of permutations. The mean comes from the permutations with
the observed order as one of them, so it is never 0 (Phipson and Smyth, SAGMB 9, 2010).

**False discoveries.** Benjamini-Hochberg (J. R. Stat. Soc. B 57, 1995) over all ordered pairs with at least five shared
members: that filter is the same in every permutation, so independent of the test (Bourgon et al., PNAS 107, 2010).

Everything is numpy on a block of members at a time; the seed is fixed, so equal rows give equal answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Whole: TypeAlias = NDArray[np.int64]
Real: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.uint16]
"""Which business, by its number."""

SEED = 20_261_123
_MOST_MARKS = 1 << 24
"""How many bytes of marks are held at a time: members x ordered pairs x permutations."""


@dataclass(slots=True)
class Ways:
    """How many members went from each business to each other.

    Attributes:
        businesses: How many businesses there are.
        observed: How many members went each way, of all blocks.
        shared: How many members bought at both, of all blocks.
        drawn_observed: The observed of the blocks that were permuted.
        drawn_shared: The shared of the blocks that were permuted.
        drawn: How many went each way in all permutations together.
    """

    businesses: int
    observed: Whole = field(init=False)
    shared: Whole = field(init=False)
    drawn_observed: Whole = field(init=False)
    drawn_shared: Whole = field(init=False)
    drawn: Whole = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.businesses, self.businesses)
        self.observed, self.shared = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.drawn_observed, self.drawn_shared = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.drawn = np.zeros(shape, np.int64)

    def add_block(
        self,
        member_ids: Whole,
        times_us: Whole,
        businesses: Numbers,
        within_us: int,
        permutations: int,
        block: int,
    ) -> None:
        """Counts a block of members.

        Args:
            member_ids: Of each purchase; equal ones lie together.
            times_us: Of each purchase; growing within a member.
            businesses: Of each purchase.
            within_us: How long after at most the next purchase comes.
            permutations: How many orders are drawn; 0 to count only.
            block: The block's number: with the seed it determines the orders.
        """
        if not len(member_ids):
            return
        starts = np.flatnonzero(np.r_[True, member_ids[1:] != member_ids[:-1]])
        edges = np.r_[starts, len(member_ids)]
        step = max(1, _MOST_MARKS // ((permutations + 1) * self.businesses**2))
        random = np.random.default_rng([SEED, block])
        for first in range(0, len(starts), step):
            last = min(first + step, len(starts))
            rows = slice(edges[first], edges[last])
            places = np.repeat(np.arange(last - first), np.diff(edges[first : last + 1]))
            self._add(places, times_us[rows], businesses[rows], within_us, permutations, random)

    def _add(
        self,
        places: Whole,
        times_us: Whole,
        businesses: Numbers,
        within_us: int,
        permutations: int,
        random: np.random.Generator,
    ) -> None:
        members, pairs = int(places[-1]) + 1, self.businesses**2
        orders = [businesses, *(_shuffled(places, businesses, random) for _ in range(permutations))]
        marks = np.zeros((len(orders), members * pairs), np.bool_)
        for earlier, later in _followers(places, times_us, within_us):
            base = places[earlier] * pairs
            for mark, order in zip(marks, orders, strict=True):
                mark[base + order[earlier] * np.int64(self.businesses) + order[later]] = True
        ways = marks.reshape(len(orders), members, pairs).sum(axis=1, dtype=np.int64)
        ways = ways.reshape(-1, self.businesses, self.businesses)
        bought = np.zeros((members, self.businesses), np.float32)
        bought[places, businesses] = 1
        shared = np.rint(bought.T @ bought).astype(np.int64)
        self.observed += ways[0]
        self.shared += shared
        if permutations:
            self.drawn_observed += ways[0]
            self.drawn_shared += shared
            self.drawn += ways[1:].sum(axis=0)


@dataclass(frozen=True, slots=True)
class Judged:
    """What chance would have done, for each ordered pair; nan where too few members are shared.

    Attributes:
        expected: How many members would have gone this way by chance.
        q_values: How likely chance is, adjusted for the number of pairs.
    """

    expected: Real
    q_values: Real


def judge(ways: Ways, permutations: int, least_shared: int) -> Judged:
    """Compares what was seen with chance."""
    from scipy.special import betainc  # noqa: PLC0415  only where a matrix is computed

    looked_at = (ways.drawn_shared >= least_shared) & ~np.eye(ways.businesses, dtype=np.bool_)
    expected = np.full(looked_at.shape, np.nan)
    q_values = np.full(looked_at.shape, np.nan)
    seen, shared = ways.drawn_observed[looked_at], ways.drawn_shared[looked_at]
    mean = (ways.drawn[looked_at] + seen) / (permutations + 1)
    # Without one member more than by chance there is nothing to find, and the bound does not hold.
    tested = (seen >= mean + 1) & (mean < shared)
    p_values = np.ones(len(seen))
    p_values[tested] = betainc(seen[tested], shared[tested] - seen[tested] + 1, mean[tested] / shared[tested])
    expected[looked_at] = mean * ways.shared[looked_at] / shared
    q_values[looked_at] = benjamini_hochberg(p_values)
    return Judged(expected, q_values)


def _followers(places: Whole, times_us: Whole, within_us: int) -> Iterator[tuple[Whole, Whole]]:
    """Gives the rows that follow others of the same member in time, distance by distance between them."""
    near = np.arange(len(places))
    distance = 1
    while len(near):
        near = near[near + distance < len(places)]
        later = near + distance
        near = near[(places[later] == places[near]) & (times_us[later] - times_us[near] <= within_us)]
        after = times_us[near + distance] > times_us[near]
        yield near[after], near[after] + distance
        distance += 1


def _shuffled(places: Whole, businesses: Numbers, random: np.random.Generator) -> Numbers:
    """Returns the businesses in a random order within each member."""
    shuffled: Numbers = businesses[np.argsort(places + random.random(len(places)))]
    return shuffled


def benjamini_hochberg(p_values: Real) -> Real:
    """Returns p-values adjusted for how many there are: the share of false discoveries up to each."""
    order = np.argsort(p_values)[::-1]
    ranks = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum.accumulate(p_values[order] * len(p_values) / ranks)
    return adjusted
