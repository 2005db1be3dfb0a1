"""Problems of single pictures: unreadable, misnamed, of odd shape or mode, blank, dark, blurred.

A row's score is 1 where a problem is there or not, as of a file that cannot be read. Where it is
measured, the score is how far beyond its limit the figure lies: 1 - limit / figure of one that is
too large (shape, blur), 1 - figure / limit of one that is too small (darkness, blankness). So it is
0 at the limit, 1/2 at twice or half of it, and 1 for a picture of one colour. The worst come first.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.check.thumbnails import Looks
from saccade.data import Index
from saccade.finding import Finding, Row, Severity

_LONG: Final = 3.0  # longer to shorter side; a square network input leaves a third of it at best
_BLANK: Final = 2.0  # standard deviation of luma and of colour, of 255
_DARK: Final = 25.0  # mean luma, of 255
_FEW: Final = 20  # pictures; of fewer, "relative to the others" says nothing
_BLURRED: Final = 4.0  # robust standard deviations below the median of log sharpness

_ODD: Final = {  # flags of the index
    "cmyk": "CMYK, made RGB without its colour profile",
    "16-bit": "16 bits a pixel, of which 8 are kept",
    "deep": "32-bit numbers, whose white is guessed",
}

_Mask = npt.NDArray[np.bool_]


def unreadable(index: Index, looks: Looks) -> tuple[Finding, ...]:
    """Files that are left out, with the reason of the scan or of the decoder."""
    reasons = [why or seen for why, seen in zip(index.reason, looks.reason, strict=True)]
    rows = tuple(
        Row(path=path, score=1.0, detail=why)
        for path, why in zip(index.path, reasons, strict=True)
        if why
    )
    return _found(
        rows,
        name="unreadable",
        severity="warning",
        message="{} cannot be used: training goes without, so classes are smaller than they look.",
        cure="Replace or delete them; each row says what is wrong.",
    )


def wrong_extensions(index: Index, looks: Looks) -> tuple[Finding, ...]:
    """Files whose content is of another format than their name says."""
    return _found(
        _certain(index, index.flagged("wrong-extension") & looks.seen),
        name="wrong-extension",
        severity="note",
        message="{} of another format than the name says: other programs may refuse such.",
        cure="Rename them after their format, or save them again.",
    )


def animated(index: Index, looks: Looks) -> tuple[Finding, ...]:
    """Files of several frames, of which one is used."""
    return _found(
        _certain(index, index.flagged("animated") & looks.seen),
        name="animated",
        severity="note",
        message="{} of several frames: training and predicting see the first alone.",
        cure="Save the frame that shows the class as a picture of its own.",
    )


def odd_modes(index: Index, looks: Looks) -> tuple[Finding, ...]:
    """Files whose pixels are not of 8 bits in grey or red, green and blue, and are converted."""
    rows = tuple(
        Row(path=index.path[row], score=1.0, detail=said)
        for row in np.flatnonzero(looks.seen)
        if (said := _oddity(index.flags[row].split(";"), index.mode[row]))
    )
    return _found(
        rows,
        name="odd-mode",
        severity="note",
        message="{} with colours stored in an unusual way: converting may lose what sets classes "
        "apart.",
        cure="Look at some as they are converted; else save them as 8-bit RGB or grey.",
    )


def extreme_shapes(index: Index, looks: Looks) -> tuple[Finding, ...]:
    """Pictures more than three times as long as wide, or the other way round."""
    sides = np.sort(np.stack([index.width_px, index.height_px]), axis=0)
    ratio = sides[1] / np.maximum(1, sides[0])
    mask = looks.seen & (ratio > _LONG)
    return _found(
        _beyond(index, mask, "{:.1f} times as long as wide", ratio, _LONG),
        name="extreme-shape",
        severity="note",
        message="{} of extreme shape: made square, mostly padding or badly squeezed.",
        cure="Crop them to what they show, or leave them out.",
    )


def blank(index: Index, looks: Looks) -> tuple[Finding, ...]:
    """Pictures of one colour."""
    return _found(
        _beyond(index, _blank(looks), "contrast {:.1f} of 255", _contrast(looks), _BLANK),
        name="blank",
        severity="warning",
        message="{} of one even colour: a network can only learn the label by heart.",
        cure="Leave them out, or load them again where they were damaged.",
    )


def dark(index: Index, looks: Looks) -> tuple[Finding, ...]:
    """Pictures that are nearly black; no finding where half of the set is so by its nature."""
    mask = looks.seen & ~_blank(looks) & (looks.brightness < _DARK)
    if mask.sum() * 2 > looks.seen.sum():
        return ()
    return _found(
        _beyond(index, mask, "brightness {:.0f} of 255", looks.brightness, _DARK),
        name="dark",
        severity="note",
        message="{} so dark as to be nearly black: there is little to learn from.",
        cure="Brighten them, or leave them out where a person cannot tell the class.",
    )


def blurred(index: Index, looks: Looks) -> tuple[Finding, ...]:
    """Pictures with far less fine detail than the others, for the contrast that they have.

    Detail is the variance of the Laplacian over that of the picture itself, so that a blurred
    picture of high contrast is told from a sharp one of low contrast.
    """
    mask = looks.seen & ~_blank(looks)
    if mask.sum() < _FEW:
        return ()
    detail = np.log(np.maximum(looks.sharpness, 1e-3) / np.maximum(looks.contrast, 1e-3) ** 2)
    middle = np.median(detail[mask])
    spread = 1.4826 * np.median(np.abs(detail[mask] - middle))  # as a normal curve's deviation
    below = (middle - detail) / max(float(spread), 0.1)
    mask &= below > _BLURRED
    return _found(
        _beyond(index, mask, "{:.1f} deviations less detail", below, _BLURRED),
        name="blurred",
        severity="note",
        message="{} with far less fine detail than the others, perhaps blurred or enlarged.",
        cure="Look at them; leave out those that a person cannot tell either.",
    )


def _oddity(flags: list[str], mode: str) -> str:
    """Return in words how a picture's colours are stored where that is unusual, else ''."""
    for flag, words in _ODD.items():
        if flag in flags:
            return words
    return f"mode {mode}" if mode in ("LAB", "HSV", "YCbCr") else ""


def _blank(looks: Looks) -> _Mask:
    mask: _Mask = looks.seen & (_contrast(looks) < _BLANK)
    return mask


def _contrast(looks: Looks) -> npt.NDArray[np.float32]:
    """Return the deviation of luma, (N,), or where that is small of colour, if it is larger.

    Red that fades to blue is all of one luma, and yet not blank.
    """
    contrast = looks.contrast.copy()
    rows = np.flatnonzero(contrast < _BLANK)
    halved = looks.tints[rows].astype(np.float32).std(axis=(1, 2)).max(axis=1, initial=0)
    contrast[rows] = np.maximum(contrast[rows], 2 * halved)
    return contrast


def _certain(index: Index, mask: _Mask) -> tuple[Row, ...]:
    return tuple(Row(path=path, score=1.0) for path in index.path[mask])


def _beyond(
    index: Index, mask: _Mask, detail: str, figure: npt.NDArray[np.floating], limit: float
) -> tuple[Row, ...]:
    """Return the masked rows, the furthest beyond the limit first; see the module's docstring."""
    rows = np.flatnonzero(mask)
    score = 1 - np.minimum(figure[rows], limit) / np.maximum(figure[rows], limit)
    order = np.argsort(-score, kind="stable")
    return tuple(
        Row(path=index.path[row], score=float(sure), detail=detail.format(figure[row]))
        for row, sure in zip(rows[order], score[order], strict=True)
    )


def _found(
    rows: tuple[Row, ...], *, name: str, severity: Severity, message: str, cure: str
) -> tuple[Finding, ...]:
    """Return one finding on all `rows`, or none where there are none."""
    if not rows:
        return ()
    count = f"{len(rows):,} {'file' if len(rows) == 1 else 'files'}"
    finding = Finding(
        name=name,
        severity=severity,
        where="all parts",
        message=message.format(count),
        cure=cure,
        rows=rows,
    )
    return (finding,)
