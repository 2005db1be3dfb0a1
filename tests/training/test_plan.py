"""The plan: pure, explained by its rules, and sensible over all kinds of data."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from saccade.augmentation import Augmentation
from saccade.data import build_index, open_source
from saccade.models import BackboneDesign
from saccade.models.compact import multiply_adds, num_weights
from saccade.progress import Silence
from saccade.training.plan import Facts, TrainPlan, derive_plan
from saccade.training.rate import Rate

CLOTHES = Facts(
    width_px=28,
    height_px=28,
    same_size=True,
    channels=1,
    num_classes=10,
    num_train=54_000,
    budget_s=300.0,
    epochs=None,
)
PHOTOS = replace(
    CLOTHES,
    width_px=192,
    height_px=144,
    same_size=False,
    channels=3,
    num_classes=2,
    num_train=1_800,
)
DIGITS = replace(CLOTHES, width_px=8, height_px=8, num_train=1_437, budget_s=20.0)


def cost_of(facts):
    plan = derive_plan(facts)
    return multiply_adds(plan.design, plan.input_shape)


@pytest.mark.parametrize("facts", [CLOTHES, PHOTOS, DIGITS])
def test_equal_facts_give_equal_plans(facts):
    assert derive_plan(facts) == derive_plan(replace(facts))


@pytest.mark.parametrize("facts", [CLOTHES, PHOTOS, DIGITS])
def test_plan_survives_json(facts):
    for model in ("auto", "t5"):
        plan = derive_plan(facts, model=model)
        assert TrainPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_rates_fall_below_a_solved_head_alone():
    backbone = BackboneDesign(name="MobileNet-0.25", weights="", cut=None, fine_tune=True)
    tuning = derive_plan(PHOTOS, backbone=backbone)
    assert tuning.lowest_share < 1
    assert derive_plan(PHOTOS).lowest_share == derive_plan(PHOTOS, model="t5").lowest_share == 1
    document = tuning.to_json()
    del document["lowest_share"]  # a run begun before there was one goes on as it began
    assert TrainPlan.from_json(document) == replace(tuning, lowest_share=1.0)


def test_more_time_never_buys_less():
    for facts in (CLOTHES, PHOTOS):
        costs = [cost_of(replace(facts, budget_s=2.0**k)) for k in range(3, 15)]
        assert costs == sorted(costs)
        assert costs[-1] > 4 * costs[0]


def test_faster_machine_never_buys_less():
    costs = [cost_of(replace(PHOTOS, rate=Rate(gigaflops=5.0 * 4**k))) for k in range(6)]
    assert costs == sorted(costs)


def test_small_pictures_of_one_size_stay_as_they_are():
    plan = derive_plan(replace(CLOTHES, width_px=40, height_px=24))
    assert plan.input_shape == (24, 40, 1)


def test_photographs_are_never_enlarged():
    plan = derive_plan(replace(PHOTOS, budget_s=1e6))
    assert plan.input_shape == (192, 192, 3)
    tiny = derive_plan(replace(PHOTOS, width_px=20, height_px=9, budget_s=1e6))
    assert tiny.input_shape == (20, 20, 3)


def test_few_small_pictures_get_a_small_network():
    plan = derive_plan(replace(DIGITS, budget_s=1e6))
    assert num_weights(plan.design, 1) <= 1_437 * 64


def test_epochs_make_the_plan_the_same_on_any_machine():
    facts = replace(CLOTHES, budget_s=None, epochs=5)
    assert derive_plan(facts) == derive_plan(replace(facts, rate=Rate(gigaflops=2_500.0)))
    assert derive_plan(facts).max_epochs == 5


def test_pictures_seen_a_few_times_stay_as_they_are():
    assert derive_plan(replace(CLOTHES, budget_s=20.0)).augmentation.shift == 0
    assert derive_plan(PHOTOS).augmentation.zoom > 0


def test_own_model_gets_nothing_added():
    plan = derive_plan(CLOTHES, model="t5")
    assert (plan.recipe, plan.design, plan.batch_size) == ("own", None, 32)
    assert plan.augmentation.is_none
    assert plan.label_smoothing == plan.averaging == 0


def test_own_model_gets_the_augmentation_that_is_asked():
    asked = Augmentation(rotate=40, flip=True)
    for model in ("t8", "auto"):
        plan = derive_plan(PHOTOS, model=model, augmentation=asked)
        assert plan.augmentation == asked
        assert plan.augmentation_is_asked
        assert TrainPlan.from_json(plan.to_json()) == plan
    assert derive_plan(PHOTOS, augmentation=Augmentation()).augmentation.is_none


def test_file_decides_the_size_of_pictures():
    plan = derive_plan(PHOTOS, model="own.keras", input_shape=(96, 64, 1))
    assert plan.input_shape == (96, 64, 1)


@pytest.mark.parametrize("side", [1, 2, 3, 8, 13, 28, 64, 65, 500])
@pytest.mark.parametrize("num_train", [3, 100, 1_000_000])
def test_every_size_has_a_plan(side, num_train):
    facts = replace(PHOTOS, width_px=side, height_px=side, num_train=num_train)
    for same_size in (True, False):
        plan = derive_plan(replace(facts, same_size=same_size))
        assert plan.height_px <= side
        assert plan.max_epochs >= 1
        assert 1 <= plan.batch_size


def test_facts_without_an_end():
    with pytest.raises(ValueError, match="a budget or a number of epochs"):
        replace(CLOTHES, budget_s=None)


def test_summary_is_one_line():
    assert derive_plan(PHOTOS).summary().count("\n") == 0
    assert "300 s" in derive_plan(PHOTOS).summary()


def test_many_classes_get_many_features():
    few, many = (derive_plan(replace(PHOTOS, num_classes=n)).design for n in (2, 1_000))
    assert few is not None
    assert many is not None
    assert many.widths[-1] >= 500 > few.widths[-1]
    assert many.widths[:-1] == few.widths[:-1]


def test_facts_are_read_off_the_rows_to_train_on():
    x = np.zeros((6, 20, 30), np.uint8)
    index = build_index(open_source((x, np.arange(6) % 2), progress=Silence()), progress=Silence())
    wide = index.width_px.copy()
    wide[5] = 90  # of a row that is not trained on
    flags = index.flags.copy()
    flags[5] = ""  # in colour
    index = index.with_columns(width_px=wide, flags=flags)
    how = {"num_classes": 2, "num_train": 4, "budget_s": None, "epochs": 3}
    facts = Facts.measured(index, np.arange(6) < 5, **how)
    assert (facts.width_px, facts.height_px, facts.same_size) == (30, 20, True)
    assert facts.channels == 1
    facts = Facts.measured(index, np.arange(6), **how)
    assert not facts.same_size
    assert facts.channels == 3


def test_preprocessing_gives_what_the_network_takes():
    plan = derive_plan(PHOTOS)
    photo = np.zeros((300, 200, 3), np.uint8)
    assert plan.preprocessing.read(photo).shape == plan.input_shape
