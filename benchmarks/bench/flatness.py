"""Whether memory grows: the slope of its samples after the first quarter, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import linregress, t

BLOCKS = 15
"""Neighbouring samples depend on each other, so the slope is that of the means of so many blocks."""
CONFIDENCE = 0.95
NOTHING_SHARE = 0.01
"""Growth by less than this share of the memory is none, however sure: allocators settle in steps."""
MUCH_SHARE = 0.05
"""Growth by more than this share is growth, however unsure: samples that scatter prove nothing."""

Samples = Sequence[tuple[float, float]]
"""Minutes, and megabytes then."""


@dataclass(frozen=True, slots=True)
class Slope:
    """How memory changes with time.

    Attributes:
        begin_minutes: From when on it was looked at.
        begin_mb: Where the line through the samples is then.
        end_mb: Where it is at the end.
        mb_an_hour: Its slope.
        least: The least slope that the samples allow, at 95 % confidence.
        most: The largest.
    """

    begin_minutes: float
    begin_mb: float
    end_mb: float
    mb_an_hour: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Samples, skipped: float = 0.25) -> "Slope":
        """Returns the slope of all samples but those of the first quarter, or another share, of the time."""
        minutes, megabytes = np.array(samples).T
        begin, end = minutes[0] + (minutes[-1] - minutes[0]) * skipped, minutes[-1]
        later = minutes >= begin
        blocks = [
            (block_minutes.mean(), block_mb.mean())
            for block_minutes, block_mb in zip(
                np.array_split(minutes[later], BLOCKS), np.array_split(megabytes[later], BLOCKS), strict=True
            )
        ]
        line = linregress(*np.array(blocks).T)
        sure = 60 * line.stderr * t.ppf((1 + CONFIDENCE) / 2, BLOCKS - 2)
        slope = 60 * line.slope
        begin_mb, end_mb = (float(line.intercept + line.slope * at) for at in (begin, end))
        return cls(float(begin), begin_mb, end_mb, float(slope), float(slope - sure), float(slope + sure))

    @property
    def is_flat(self) -> bool:
        """Whether the samples show less growth than counts, or little and allow a slope of zero."""
        grown_share = (self.end_mb - self.begin_mb) / self.begin_mb
        return grown_share < NOTHING_SHARE or (self.least <= 0 and grown_share < MUCH_SHARE)

    def told(self) -> str:
        """Returns the verdict as a sentence's end."""
        spread = f"{self.mb_an_hour:+.1f} MB an hour ({self.least:+.1f} to {self.most:+.1f} at 95 % confidence)"
        grown = self.end_mb - self.begin_mb
        return f"{'flat' if self.is_flat else 'not flat'}: {spread}, {grown:+.1f} MB since the first quarter"
