"""Pairs of pictures that show the same: equal ones, and copies that somebody changed a little.

    pairs = near_copies(thumbs, tints)
    pairs.first, pairs.second, pairs.score  # rows, and how well they agree, up to 1

Found are copies that were resized, recompressed, made lighter or darker, mirrored, or cropped by up
to about a tenth a side. Nothing is compared with everything: each picture, mirrored and cropped in
a few ways, becomes 27 low frequencies of its thumbnail, and random planes through these cut the
pictures into buckets, many times over (locality-sensitive hashing: Charikar, "Similarity estimation
techniques from rounding algorithms", 2002). A picture is compared with a few of its bucket,
first by these frequencies, then by correlating both the thumbnails and their fine detail, since
smooth pictures of different things agree in the rest; where they do not agree as they lie, again
once one is aligned with the other (Gauss-Newton on scale and shift, as Lucas and Kanade, 1981). Of
the detail roots are correlated: else the horizon behind two different ships, its one bright line,
would outweigh all that differs. And the more their colours differ (`tints`), the more must their
detail agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from saccade.check.thumbnails import THUMB_PX
from saccade.check.tints import Tints, tint_gaps
from saccade.data import Pixels
from saccade.machine import usable_cores

_NUM_BANDS: Final = 28
_WINDOW: Final = 4  # pictures of a bucket that one is compared with: linear, however large it is
_MAX_BITS: Final = 22  # of a bucket's number; float32 holds it exactly, and the table is 32 MiB
# Judged on training pictures (docs/check.md): 0.95 and 0.8 lose 5 % of photographs cropped by up to
# 8 % a side, these 1 %; 0.96 of aligned thumbnails loses 12 % of tiny pictures resized, 0.92 2 %.
# Of detail, of the pairs from 0.84 to 0.85 a fifth to a third are false to the eye; 97 of 100 tiny
# pictures, resized, reach 0.85. Of false pairs above, half differ in colour by more than 0.35, and
# agree too little for it; less than 1 in 500 planted copies does. A grey copy of a coloured picture
# has a gap of 1: it is found where its detail agrees to 0.95.
_PROMISES: Final = 0.7  # of thumbnails before alignment; what is worth aligning
_TINTS_DIFFER: Final = 0.35
_TINTS_WEIGH: Final = 0.2  # of what is above, up to 0.5: by so much more must detail agree
_FLAT: Final = 4.0  # standard deviation, of 255; what is flatter shows nothing to compare
_BLOCK: Final = 1024
_AT_ONCE: Final = 1 << 15  # descriptors that are compared at a time
_STEPS: Final = 5  # of alignment, at most
_SETTLED: Final = 2e-3  # of half a side, a thirtieth of a pixel: what moves less, lies
_INSET: Final = 0.08  # what a cropped variant leaves out of width and height
# (mirrored, left, top) as shares of the width and height that are left out.
_VARIANTS: Final = (
    *((False, 0.0, 0.0, 0.0), (True, 0.0, 0.0, 0.0)),
    *((False, _INSET, x, y) for x, y in ((0.5, 0.5), (0, 0), (0, 1), (1, 0), (1, 1))),
)

_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.intp]
_Any = TypeVar("_Any")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of rows, each once, with first < second.

    The score is their correlation, up to 1: as they lie if that is enough, else once aligned.
    """

    first: _Rows
    second: _Rows
    score: _Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """How alike two pictures must be to count as copies; all are correlations."""

    similar: float = 0.93  # of low frequencies; what is worth comparing
    agrees: float = 0.92  # of thumbnails, as they lie or aligned
    detail_agrees: float = 0.85  # of their fine detail's roots


COPIES: Final = Bar()
# Where pictures of different things look alike. In 60,000 training pictures of clothes 26 pairs are
# as equal as this, each of one photograph to the eye; a little lower, prints on shirts differ.
NEARLY_EQUAL: Final = Bar(similar=0.998, agrees=0.9993, detail_agrees=0.994)
# All that the pairs hang on: with other numbers, pairs that were kept are of no use.
SETTINGS: Final = (
    *(_NUM_BANDS, _WINDOW, _PROMISES, COPIES, NEARLY_EQUAL, _FLAT, _STEPS, _SETTLED, _VARIANTS),
    *(_TINTS_DIFFER, _TINTS_WEIGH),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Likely:
    """Pairs of rows that may be copies; `variant` is the one of `second` that is like `first`."""

    first: _Rows
    second: _Rows
    variant: _Rows

    def __len__(self) -> int:
        return len(self.first)

    def of(self, some: _Rows) -> Likely:
        """Return some of the pairs."""
        return Likely(first=self.first[some], second=self.second[some], variant=self.variant[some])


def near_copies(thumbs: Pixels, tints: Tints, bar: Bar = COPIES) -> Pairs:
    """Return the pairs among (N, 32, 32) thumbnails; time grows as N log N."""
    return compared(thumbs, likely_pairs(thumbs, bar), bar, tints=tints)


def likely_pairs(thumbs: Pixels, bar: Bar = COPIES) -> Likely:
    """Return the pairs with like low frequencies, which are worth aligning."""
    rows = _with_contrast(thumbs)
    first, second, variant = _candidates(_descriptors(thumbs, rows), bar.similar)
    return Likely(first=rows[first], second=rows[second], variant=variant)


def every_likely_pair(thumbs: Pixels) -> Likely:
    """Return all pairs with like low frequencies, none mirrored or cropped; takes N squared."""
    rows = _with_contrast(thumbs)
    vectors = _descriptors(thumbs, rows)[0]
    first, second = np.nonzero(np.triu(vectors @ vectors.T >= COPIES.similar, k=1))
    return Likely(first=rows[first], second=rows[second], variant=np.zeros_like(first))


def compared(
    thumbs: Pixels, likely: Likely, bar: Bar = COPIES, *, tints: Tints | None = None
) -> Pairs:
    """Return those of the likely pairs that agree, as they lie or once aligned, each once.

    Without `tints` (N, 8, 8, 2) it is as if all pictures were grey.
    """
    needed = np.full(len(likely), bar.detail_agrees, np.float32)
    if tints is not None:
        mirrored = np.array([variant[0] for variant in _VARIANTS])[likely.variant]
        gaps = tint_gaps(tints, likely.first, likely.second, mirrored)
        needed += _TINTS_WEIGH * np.clip(gaps - _TINTS_DIFFER, 0, 0.5)
    score = _verified(thumbs, likely, bar.agrees, needed)
    kept = score > 0
    ends = np.sort(np.stack([likely.first[kept], likely.second[kept]]), axis=0)
    order = np.lexsort((-score[kept], ends[1], ends[0]))
    ends, best = ends[:, order], score[kept][order]
    new = np.append(True, np.diff(ends, axis=1).any(axis=0))[: len(best)]
    return Pairs(first=ends[0, new], second=ends[1, new], score=best[new])


def _with_contrast(thumbs: Pixels) -> _Rows:
    """Return the rows of thumbnails that show something, without all of them in float64."""
    spread = np.empty(len(thumbs))
    for start in range(0, len(thumbs), _BLOCK):
        spread[start : start + _BLOCK] = thumbs[start : start + _BLOCK].std(axis=(1, 2))
    return np.flatnonzero(spread >= _FLAT)


def _descriptors(thumbs: Pixels, rows: _Rows) -> _Floats:
    """Return unit vectors of low frequencies of some thumbnails, (variants, len(rows), 27)."""
    size = len(_low_frequencies()[0])
    vectors = np.empty((len(_VARIANTS), len(rows), size), np.float32)
    waves = _waves()
    for start in range(0, len(rows), _BLOCK):
        some = thumbs[rows[start : start + _BLOCK]].reshape(-1, THUMB_PX**2).astype(np.float32)
        product = (some @ waves).reshape(len(some), len(_VARIANTS), size)
        vectors[:, start : start + _BLOCK] = product.transpose(1, 0, 2)
    length = np.sqrt(np.einsum("vnk,vnk->vn", vectors, vectors))[..., None]
    vectors /= np.maximum(length, 1e-6)
    return vectors


def _candidates(vectors: _Floats, similar: float) -> tuple[_Rows, _Rows, _Rows]:
    """Return (first, second, variant of second) that share a bucket and have like frequencies."""
    num_rows, size = vectors.shape[1:]
    if num_rows < 2:
        return (np.empty(0, np.intp),) * 3
    scale = 1 / np.maximum(vectors[0].std(axis=0), 1e-3)
    num_bits = min(_MAX_BITS, int(np.log2(num_rows)) + 3)
    planes = np.random.default_rng(0).standard_normal((_NUM_BANDS, size, num_bits)) * scale[:, None]
    codes = np.empty(0, np.int64)
    for found in _side_by_side(
        lambda band: _neighbours(vectors, planes[band].astype(np.float32), similar, band),
        range(_NUM_BANDS),
    ):  # most pairs share many buckets, and once is enough
        codes = _each_once(np.concatenate([codes, found]))
    low, high = np.divmod(codes, vectors.shape[0] * num_rows)
    return low, high % num_rows, high // num_rows


def _neighbours(
    vectors: _Floats, planes: _Floats, similar: float, seed: int
) -> npt.NDArray[np.int64]:
    """Return codes of like pairs in one band's buckets: a picture, and a picture or its variant."""
    num_variants, num_rows, _ = vectors.shape
    random = np.random.default_rng(seed)
    middle = vectors[0].mean(axis=0) @ planes
    bucket = _buckets(vectors[0], planes, middle)
    order = np.argsort(bucket, kind="stable")
    size = np.bincount(bucket, minlength=1 << planes.shape[1])
    start = np.cumsum(size) - size
    codes = [np.empty(0, np.int64)]
    for variant in range(num_variants):
        if variant:
            bucket = _buckets(vectors[variant], planes, middle)
        rows = np.flatnonzero(size[bucket] > 0)
        turn = random.integers(0, 1 << 20, len(rows))  # of a large bucket, each sees others
        for step in range(_WINDOW):
            more = size[bucket[rows]] > step
            rows, turn = rows[more], turn[more]
            low = order[start[bucket[rows]] + (turn + step) % size[bucket[rows]]]
            low, high = low[low != rows], rows[low != rows]
            like = _products(vectors[0], low, vectors[variant], high) >= similar
            low, high = low[like], high[like]
            if not variant:  # both are whole, and it is one pair whoever finds the other
                low, high = np.minimum(low, high), np.maximum(low, high)
            codes.append((low * num_variants + variant) * num_rows + high)
    return _each_once(np.concatenate(codes))


def _each_once(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the sorted codes, each once; by sorting, which here is faster than hashing."""
    codes.sort()
    return codes[np.diff(codes, prepend=-1) > 0]


def _buckets(vectors: _Floats, planes: _Floats, middle: _Floats) -> npt.NDArray[np.int32]:
    """Return each descriptor's bucket: on which side of each plane through `middle` it lies."""
    powers = (1 << np.arange(planes.shape[1])).astype(np.float32)
    bucket = np.empty(len(vectors), np.int32)
    for begin in range(0, len(vectors), _AT_ONCE):  # all at once would be gigabytes
        bits = vectors[begin : begin + _AT_ONCE] @ planes > middle
        bucket[begin : begin + _AT_ONCE] = bits.astype(np.float32) @ powers
    return bucket


def _products(one: _Floats, low: _Rows, other: _Floats, high: _Rows) -> _Floats:
    """Return the inner product of each pair of descriptors, (P,)."""
    products = np.empty(len(low), np.float32)
    for begin in range(0, len(low), _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        products[some] = np.einsum("ij,ij->i", one[low[some]], other[high[some]])
    return products


def _side_by_side(work: Callable[[int], _Any], items: range) -> Iterator[_Any]:
    """Yield what `work` gives for each item, in order, on every core: NumPy holds no lock."""
    from threadpoolctl import threadpool_limits

    ahead = 2 * usable_cores()  # what is done before it is wanted takes memory
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(usable_cores()) as threads:
        for start in range(0, len(items), ahead):
            yield from threads.map(work, items[start : start + ahead])


def _verified(thumbs: Pixels, likely: Likely, agrees: float, detail_agrees: _Floats) -> _Floats:
    """Return each pair's correlation once they lie on each other; 0 where they are not copies.

    `detail_agrees` (P,) is each pair's own.
    """
    starts = np.array([_start(v) for v in _VARIANTS], np.float32)

    def verify(begin: int) -> _Floats:
        block = slice(begin, begin + _BLOCK)
        place, needed = starts[likely.variant[block]], detail_agrees[block]
        still = _standard(thumbs[likely.first[block]].astype(np.float32))
        moving = thumbs[likely.second[block]].astype(np.float32)
        shown = _placed(moving, place)
        score = _judged(still, shown, agrees, needed)
        # Most copies lie well as they are, and aligning takes ten times as long.
        left = np.flatnonzero((score == 0) & (_agreement(still, shown) >= _PROMISES))
        aligned = _aligned(still[left], moving[left], place[left])
        score[left] = _judged(still[left], aligned, agrees, needed[left])
        return score

    scores = list(_side_by_side(verify, range(0, len(likely), _BLOCK)))
    return np.concatenate([np.empty(0, np.float32), *scores])


def _judged(still: _Floats, shown: _Floats, agrees: float, detail_agrees: _Floats) -> _Floats:
    """Return the correlation of each pair as they lie, up to 1; 0 of those that are no copies."""
    agreed = np.minimum(_agreement(still, shown), 1)
    alike = agreed >= agrees
    alike[alike] = _agreement(_detail(still[alike]), _detail(shown[alike])) >= detail_agrees[alike]
    return np.where(alike, agreed, 0)


def _agreement(one: _Floats, other: _Floats) -> _Floats:
    """Return the correlation of standardised pictures, pair by pair."""
    correlation: _Floats = (one * other).mean(axis=(1, 2))
    return correlation


def _aligned(still: _Floats, moving: _Floats, place: _Floats) -> _Floats:
    """Return `moving` scaled and shifted to lie best on `still`; (P, 32, 32), standardised.

    `place` is (P, 4): scale and shift across, then down, in units of half a side.
    """
    place, moves = place.copy(), np.arange(len(place))
    for _ in range(_STEPS):
        change = _improvement(still[moves], moving[moves], place[moves])
        place[moves] += change
        moves = moves[np.abs(change).max(axis=1, initial=0) > _SETTLED]
    return _placed(moving, place)


def _improvement(still: _Floats, moving: _Floats, place: _Floats) -> _Floats:
    """Return by how much to change `place`, (P, 4), so that `moving` lies better on `still`."""
    at = _centres()
    shown = _placed(moving, place)
    down, across = np.gradient(shown, float(at[1] - at[0]), axis=(1, 2))
    slopes = np.stack([across * at, across, down * at[:, None], down], axis=1)
    slopes = slopes.reshape(len(shown), 4, THUMB_PX**2)
    gap = (still - shown).reshape(len(shown), THUMB_PX**2, 1)
    normal = slopes @ slopes.transpose(0, 2, 1) + 1e-2 * np.eye(4, dtype=np.float32)
    change = np.linalg.solve(normal, slopes @ gap)[..., 0]
    better: _Floats = np.clip(change, -0.1, 0.1) * np.sign(place[:, [0, 0, 2, 2]])
    return better


def _placed(moving: _Floats, place: _Floats) -> _Floats:
    """Return the pictures sampled at `place`, standardised."""
    across: _Floats = _hat(place[:, :2]).transpose(0, 2, 1)
    shown: npt.NDArray[np.float32] = np.matmul(np.matmul(_hat(place[:, 2:]), moving), across)
    return _standard(shown)


def _detail(pictures: _Floats) -> _Floats:
    """Return the roots of what a 3 by 3 average takes away at 16 by 16 px, standardised."""
    small = pictures.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4), dtype=np.float32)
    wide = np.pad(small, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    smooth = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    detail = small - smooth
    roots: _Floats = (np.sign(detail) * np.sqrt(np.abs(detail))).astype(np.float32)
    return _standard(roots)


def _standard(pictures: _Floats) -> _Floats:
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    scaled: _Floats = centred / np.maximum(centred.std(axis=(1, 2), keepdims=True), 1e-6)
    return scaled


def _hat(place: _Floats) -> _Floats:
    """Return (P, 32, 32) matrices that interpolate linearly at scale * x + shift."""
    wanted = place[:, :1] * _centres() + place[:, 1:]
    position = np.clip((wanted + 1) * THUMB_PX / 2 - 0.5, 0, THUMB_PX - 1)
    away = np.abs(position[:, :, None] - np.arange(THUMB_PX, dtype=np.float32))
    weights: _Floats = np.maximum(0, 1 - away).astype(np.float32)
    return weights


def _start(variant: tuple[bool, float, float, float]) -> tuple[float, float, float, float]:
    """Return a variant as scale and shift, across and down; a mirrored one has a scale below 0."""
    mirrored, inset, left, top = variant
    scale = 1 - inset
    return (-scale if mirrored else scale), inset * (2 * left - 1), scale, inset * (2 * top - 1)


@cache
def _waves() -> _Floats:
    """Return (1024, variants * 27): from a thumbnail's pixels to its descriptors before scaling."""
    down, across = _low_frequencies()
    waves = [
        np.einsum("ky,kx->yxk", (_cosines() @ rows)[down], (_cosines() @ columns)[across])
        for columns, rows in map(_sampling, _VARIANTS)
    ]
    joined: _Floats = np.concatenate(waves, axis=2).reshape(THUMB_PX**2, -1)
    return joined


def _sampling(variant: tuple[bool, float, float, float]) -> tuple[_Floats, _Floats]:
    place = np.array([_start(variant)], np.float32)
    return _hat(place[:, :2])[0], _hat(place[:, 2:])[0]


@cache
def _centres() -> _Floats:
    """Return where the pixels' centres are, -1 to 1."""
    return ((np.arange(THUMB_PX) + 0.5) * 2 / THUMB_PX - 1).astype(np.float32)


@cache
def _cosines() -> _Floats:
    """Return the first seven waves of a cosine transform (DCT-II), orthonormal but for the mean."""
    waves = np.arange(7)[:, None]
    angles = np.pi * waves * (np.arange(THUMB_PX) + 0.5) / THUMB_PX
    cosines: _Floats = (np.cos(angles) * np.sqrt(2 / THUMB_PX)).astype(np.float32)
    return cosines


@cache
def _low_frequencies() -> tuple[_Rows, _Rows]:
    """Return the 27 coefficients of degree 1 to 6: (down, across)."""
    down, across = np.indices((7, 7)).reshape(2, -1)
    low = (down + across > 0) & (down + across <= 6)
    return down[low], across[low]
