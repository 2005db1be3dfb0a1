"""Whether copies can be told from look-alikes at all, by a sample of the pictures.

    why_not = untold(look_alikes(thumbs[sample], len(thumbs)).num_alike)  # "" where they can

In some sets most pictures look alike, such as shirts at 28 px: there the comparison takes hundreds
of other pictures for copies of each. So a sample is compared first. Copies of one picture hardly
ever meet in a sample; what does is likeness, and from it follows how many others each picture of
the whole set would be taken for a copy of. Above `MOST_ALIKE` the pairs would say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.check.copies import compared, every_likely_pair
from saccade.data import Pixels

MOST_ALIKE: Final = 5.0  # others that a picture is like, on average; sets with copies have 1 to 4
LEAST_PX: Final = 16  # a side; the fine detail that tells copies apart is compared at this size
_SAMPLE: Final = 1000
_ALIGNED: Final = 500  # likely pairs of the sample; the share that agrees is known to 5 points
TOO_SMALL: Final = f"under {LEAST_PX} px, copies cannot be told from other pictures"


def sampled(num_rows: int) -> npt.NDArray[np.intp]:
    """Return the places of a sample among so many pictures, in order."""
    return np.sort(np.random.default_rng(0).permutation(num_rows)[:_SAMPLE])


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlikes:
    """How much alike all pictures are, by a sample of them."""

    num_alike: float  # others that a picture agrees with, on average
    num_likely: float  # pairs worth aligning, less mirrored and cropped ones


def look_alikes(thumbs: Pixels, num_all: int) -> LookAlikes:
    """Return how much alike `num_all` pictures are, by a sample whose `thumbs` are (n, 32, 32)."""
    likely = every_likely_pair(thumbs)
    drawn = np.random.default_rng(0).permutation(len(likely))[:_ALIGNED]
    if not len(drawn):
        return LookAlikes(num_alike=0.0, num_likely=0.0)
    share = len(compared(thumbs, likely.of(drawn)).first) / len(drawn)
    in_sample = 2 * share * len(likely) / len(thumbs)
    return LookAlikes(
        num_alike=in_sample * (num_all - 1) / max(1, len(thumbs) - 1),
        num_likely=len(likely) * (num_all / len(thumbs)) ** 2,
    )


def untold(number: float) -> str:
    """Return why copies cannot be told where a picture is like so many others, or ""."""
    if number <= MOST_ALIKE:
        return ""
    return f"each picture is like about {number:,.0f} others, so copies cannot be told from them"
