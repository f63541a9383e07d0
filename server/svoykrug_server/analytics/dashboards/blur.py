"""What an owner is shown of the matrix: counts with noise, so that no answer tells what one member did.

An owner makes a part of the data herself: she may enter a sale to a member who never bought, or take one back, and
watch whether a count moves. No rule about the size of a group helps against that, since she knows or invents the other
four. So every count that she is shown has noise of its own, and everything else is computed from the noisy counts.

**The noise** is the difference of two geometric draws: the geometric mechanism (Ghosh, Roughgarden, Sundararajan, SIAM
J. Comput. 41, 2012). One member more or less makes any shown count at most `exp(EPSILON)` times as likely, except that
a cell may appear at all: with five members one is shown in about one of twenty cases, with four never.

**Asking again** gives the same answer: the noise is drawn from what was bought at the two businesses (the cell keys of
Fraser and Wooton, UNECE 2005), down to the ids of members in the warehouse, which nobody outside sees. So it cannot be
averaged away, and every purchase that is added draws it anew.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from uuid import UUID

import numpy as np

from svoykrug_server.analytics.dashboards.model import MatrixCell
from svoykrug_server.analytics.dashboards.permutations import benjamini_hochberg

EPSILON = 0.5
LEAST_SHOWN = 10
"""A cell whose noisy count is smaller is not shown: its noise would be as large as what it says."""
_STAY = math.exp(-EPSILON)
NOISE_VARIANCE = 2 * _STAY / (1 - _STAY) ** 2
_KEY_BYTES = 16


def blurred(cells: Sequence[MatrixCell], fingerprints: Mapping[UUID, int]) -> tuple[MatrixCell, ...]:
    """Returns the cells with noise in every count, the least likely by chance first.

    Args:
        cells: The exact cells that an owner may see.
        fingerprints: A hash of what was bought at each business.
    """
    noisy = [_noisy(cell, fingerprints) for cell in cells]
    shown = [cell for cell in noisy if cell.member_count >= LEAST_SHOWN]
    if not shown:
        return ()
    q_values = benjamini_hochberg(np.array([_chance(cell) for cell in shown])).tolist()
    judged = (replace(cell, q_value=q_value) for cell, q_value in zip(shown, q_values, strict=True))
    return tuple(sorted(judged, key=lambda cell: cell.place))


def noise(seed: str, draws: int) -> list[int]:
    """Returns independent draws of the noise that a text determines."""
    key = int.from_bytes(blake2b(seed.encode(), digest_size=_KEY_BYTES).digest(), "big")
    random = np.random.default_rng(key)
    drawn: list[int] = (random.geometric(1 - _STAY, draws) - random.geometric(1 - _STAY, draws)).tolist()
    return drawn


def _noisy(cell: MatrixCell, fingerprints: Mapping[UUID, int]) -> MatrixCell:
    here, there = (f"{each} {fingerprints[each]}" for each in (cell.from_business_id, cell.to_business_id))
    # One member of a sample moves the expectation by as many as she stands for, so its noise is as many times as wide.
    members, expected = noise(f"{here} {there}", 2)
    # Of the first business alone: whoever sees several of its cells sees one count of its buyers, not several draws.
    (bought,) = noise(here, 1)
    member_count = max(0, cell.member_count + members)
    return replace(
        cell,
        member_count=member_count,
        from_member_count=max(member_count, cell.from_member_count + bought),
        expected_member_count=float(max(1, round(cell.expected_member_count) + cell.sampled_one_in * expected)),
    )


def _chance(cell: MatrixCell) -> float:
    """Returns how likely so many members are by chance: a normal tail, as wide as the chance and both noises."""
    deviation = math.sqrt(cell.expected_member_count + (1 + cell.sampled_one_in**2) * NOISE_VARIANCE)
    return math.erfc((cell.member_count - cell.expected_member_count) / deviation / math.sqrt(2)) / 2
