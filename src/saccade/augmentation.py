"""What training may change in a picture: by name, each with its range and unit.

>>> parse_augmentation("rotate=40,shift=0.2,flip,fill=nearest").rotate
40.0

Rotations are in degrees; sizes and strengths are shares, so that 0.2 is a fifth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from saccade.errors import SettingsError

Fill = Literal["reflect", "nearest", "wrap", "constant"]
AUTO: Final = "auto"  # the plan chooses
NONE: Final = "none"

_MOST: Final = {  # of each number: its largest value and what it counts
    "rotate": (180.0, "degrees, both ways"),
    "shift": (0.5, "of the side, both ways"),
    "shear": (1.0, "of the side, both ways"),
    "zoom": (0.9, "of the side, cut away"),
    "light": (1.0, "as a share, both ways"),
    "colour": (1.0, "as a share, both ways"),
    "erase": (0.9, "of the area"),
    "mixup": (10.0, "as alpha of a Beta distribution"),
    "cutmix": (10.0, "as alpha of a Beta distribution"),
}
_FILLED: Final[Mapping[str, str]] = {
    "reflect": "its mirror image",
    "nearest": "its nearest pixel",
    "wrap": "its opposite side",
    "constant": "black",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What changes, and at most how much; every picture draws its own. Nothing, by default.

    Raises SettingsError for a value out of range, naming the range and its unit.
    """

    rotate: float = 0.0  # degrees, both ways
    shift: float = 0.0  # share of the side that a picture moves by, both ways
    shear: float = 0.0  # share of the height by which the upper edge slides against the lower
    zoom: float = 0.0  # share of the side that may be cut away; 0.3 shows 70 to 100 %
    flip: bool = False  # mirror left to right, half of the time
    flip_vertical: bool = False  # mirror top to bottom, half of the time
    turn: bool = False  # by 0, 90, 180 or 270 degrees
    fill: Fill = "reflect"  # what lies beyond the border; the names are those of Keras's fill_mode
    light: float = 0.0  # largest change of contrast, and twice that of brightness, as a share
    colour: float = 0.0  # largest change of saturation and of each channel's strength, as a share
    erase: float = 0.0  # largest share of the area that one rectangle of noise covers
    mixup: float = 0.0  # alpha of the Beta distribution by which two pictures blend; 0 is never
    cutmix: float = 0.0  # alpha of the one by which a part comes from another picture; 0 is never

    def __post_init__(self) -> None:
        for name, (most, unit) in _MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most:  # also refuses NaN
                raise SettingsError(f"augment: {name} is 0 to {most:g} {unit}, got {value!r}")
        if self.fill not in _FILLED:
            raise SettingsError(f"augment: fill is one of {', '.join(_FILLED)}, got {self.fill!r}")

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        return self.is_oblique or bool(self.shift or self.zoom or self.flip or self.flip_vertical)

    @property
    def is_oblique(self) -> bool:
        """Whether rows and columns mix, so that a place depends on both."""
        return bool(self.rotate or self.shear or self.turn)

    @property
    def mixes(self) -> bool:
        """Whether pictures mix with others, and their labels with them."""
        return bool(self.mixup or self.cutmix)

    @property
    def is_none(self) -> bool:
        """Whether pictures stay as they are."""
        return not (self.moves or self.mixes or self.light or self.colour or self.erase)

    def to_json(self) -> dict[str, Any]:
        """Return the choice as a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Augmentation:
        """Read what `to_json` wrote."""
        return cls(**document)

    def __str__(self) -> str:
        """Return the choice as `parse_augmentation` reads it."""
        return ",".join(_written(self)) or NONE

    def phrases(self) -> tuple[str, ...]:
        """Return what may happen to a picture, one phrase a change; none where nothing does."""
        said = {
            "rotate": f"rotated by up to {self.rotate:g}° either way",
            "shift": f"shifted by up to {_percent(self.shift)} of the side",
            "shear": f"sheared by up to {_percent(self.shear)} of the height",
            "zoom": f"zoomed: {100 * (1 - self.zoom):.3g} to 100 % of the side is shown",
            "flip": "mirrored left to right, half of the time",
            "flip_vertical": "mirrored top to bottom, half of the time",
            "turn": "turned by 0, 90, 180 or 270°",
            "light": f"contrast changed by up to {_percent(self.light)}, "
            f"brightness by up to {_percent(self.light / 2)}",
            "colour": f"colours changed by up to {_percent(self.colour)}",
            "erase": f"a rectangle of up to {_percent(self.erase)} erased, half of the time",
            "mixup": "blended with another picture, and its label with that one's",
            "cutmix": "a part replaced by another picture's, and the label in proportion",
        }
        phrases = [phrase for name, phrase in said.items() if getattr(self, name)]
        if self.moves:
            phrases.append(f"filled beyond the border with {_FILLED[self.fill]}")
        return tuple(phrases)


NAMES: Final = tuple(field.name for field in fields(Augmentation))


def parse_augmentation(asked: str | Mapping[str, Any]) -> Augmentation | None:
    """Return what is asked, as ``"rotate=40,flip"`` or ``{"rotate": 40, "flip": True}``.

    ``"none"`` changes nothing; None for ``"auto"``, which leaves it to the plan. Raises
    SettingsError for an unknown name, which lists the names, and for a value out of range.
    """
    if isinstance(asked, str):
        text = asked.strip()
        if text in (AUTO, NONE):
            return None if text == AUTO else Augmentation()
        pairs = [part.strip().partition("=") for part in text.split(",")]
        given = [(name.strip(), value.strip() if sign else True) for name, sign, value in pairs]
    else:
        given = list(asked.items())
    values: dict[str, Any] = {}
    for written, value in given:
        name = str(written).replace("-", "_")
        if name not in NAMES:
            raise SettingsError(
                f"augment: no change is called {written!r}; choose from {', '.join(NAMES)}, "
                "or say none or auto"
            )
        if name in values:
            raise SettingsError(f"augment: {name} is given twice")
        values[name] = _value(name, value)
    return Augmentation(**values)


def _value(name: str, value: Any) -> Any:
    """Return one change's value as its type; the range is looked at where all are together."""
    if name == "fill":
        return value
    if name not in _MOST:
        if not isinstance(value, bool):
            raise SettingsError(f"augment: {name} is given or left out, got {name}={value}")
        return value
    most, unit = _MOST[name]
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError):
        raise SettingsError(
            f"augment: {name} takes a number, 0 to {most:g} {unit}, got {value!r}; "
            f"such as {name}={most / 5:g}"
        ) from None


def _written(augmentation: Augmentation) -> Iterator[str]:
    for field in fields(augmentation):
        value = getattr(augmentation, field.name)
        if value != field.default:
            written = str(value).removesuffix(".0")
            yield field.name if value is True else f"{field.name}={written}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
