"""Names, ranges and units of augmentation, as people write them and as they are wrong."""

from __future__ import annotations

import pytest

from saccade.augmentation import NAMES, Augmentation, parse_augmentation
from saccade.config import choose_settings
from saccade.errors import SettingsError

T8 = "rotate=40,shift=0.2,shear=0.2,zoom=0.2,flip,fill=nearest"


def test_everything_t8_names_is_there_by_name():
    wanted = Augmentation(rotate=40, shift=0.2, shear=0.2, zoom=0.2, flip=True, fill="nearest")
    assert parse_augmentation(T8) == wanted
    mapping = {"rotate": 40, "shift": 0.2, "shear": 0.2, "zoom": "0.2", "flip": True}
    assert parse_augmentation(mapping | {"fill": "nearest"}) == wanted
    assert str(wanted) == T8


def test_auto_and_none_are_words():
    assert parse_augmentation(" auto ") is None
    assert parse_augmentation("none") == Augmentation()
    assert parse_augmentation({}) == Augmentation()
    assert str(Augmentation()) == "none"


def test_written_choice_is_read_back():
    choice = Augmentation(
        rotate=12.5, turn=True, flip_vertical=True, light=1 / 3, colour=0.1, erase=0.33, mixup=0.2
    )
    assert parse_augmentation(str(choice)) == choice
    assert parse_augmentation("flip-vertical, turn") == Augmentation(flip_vertical=True, turn=True)
    assert Augmentation.from_json(choice.to_json()) == choice


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("rotat=40", r"no change is called 'rotat'; choose from rotate, shift, .*, or say none"),
        ("", "no change is called ''"),
        ("flip,none", "no change is called 'none'"),
        ("rotate=400", r"rotate is 0 to 180 degrees, both ways, got 400\.0"),
        ("shift=20", r"shift is 0 to 0\.5 of the side, both ways, got 20\.0"),
        ("zoom=-0.1", r"zoom is 0 to 0\.9 of the side, cut away, got -0\.1"),
        ("shear=nan", "shear is 0 to 1 of the side, both ways, got nan"),
        ("rotate", r"rotate takes a number, 0 to 180 degrees, both ways, got True; such as rotate"),
        ("rotate=much", "rotate takes a number, .* got 'much'"),
        ({"erase": None}, "erase takes a number, .* got None"),
        ("flip=0.5", "flip is given or left out, got flip=0.5"),
        ("fill=mirror", "fill is one of reflect, nearest, wrap, constant, got 'mirror'"),
        ("fill", "fill is one of reflect"),
        ("shift=0.1,shift=0.2", "shift is given twice"),
    ],
)
def test_mistake_says_what_is_wanted(asked, message):
    with pytest.raises(SettingsError, match=f"^augment: {message}"):
        parse_augmentation(asked)


def test_every_change_has_a_phrase_and_fill_is_spoken_of_where_pictures_move():
    for name in set(NAMES) - {"fill"}:
        choice = Augmentation(**{name: isinstance(getattr(Augmentation(), name), bool) or 0.2})
        assert len(choice.phrases()) == 1 + choice.moves, name
    assert Augmentation(fill="wrap").phrases() == ()
    assert Augmentation(rotate=40, fill="nearest").phrases() == (
        "rotated by up to 40° either way",
        "filled beyond the border with its nearest pixel",
    )


def test_settings_keep_what_was_asked_and_mix_for_auto_alone():
    given = {"budget": None, "epochs": 1, "seed": 0}
    assert choose_settings(model="t8", augment=T8, **given).augment == T8
    assert choose_settings(model="auto", augment={"mixup": 0.2}, **given).augment == "mixup=0.2"
    assert choose_settings(model="auto", **given).augment == "auto"
    with pytest.raises(SettingsError, match="mixup and cutmix are for --model auto.*for t8"):
        choose_settings(model="t8", augment="flip,cutmix=1", **given)
