"""What the plan reckons with: counted on the built network, and measured here."""

from __future__ import annotations

import math

import pytest

from saccade.models.backend import load_keras
from saccade.models.compact import CompactDesign, build_compact, multiply_adds, num_entries
from saccade.training import precision
from saccade.training import rate as rate_module
from saccade.training.precision import choose_precision
from saccade.training.rate import NOMINAL, Rate, measure_rate

keras = load_keras()
SMALL = CompactDesign(stem_stride=1, widths=(8, 16), depth=1)
PHOTO = CompactDesign(stem_stride=2, widths=(8, 16, 32), depth=2)


@pytest.mark.parametrize(("design", "shape"), [(SMALL, (9, 8, 1)), (PHOTO, (64, 96, 3))])
def test_time_is_that_of_products_and_maps(design, shape):
    model = build_compact(design, input_shape=shape, num_classes=3)
    written = [0, 0]
    for layer, following in zip(model.layers, model.layers[1:], strict=False):
        if isinstance(layer, keras.layers.Conv2D):
            is_pooled = isinstance(following, keras.layers.MaxPooling2D)
            written[0 if is_pooled else 1] += math.prod(layer.output.shape[1:])
    assert num_entries(design, shape) == tuple(written)
    rate = Rate(gigaflops=2.0, pooled_s=3e-9, other_s=5e-9)
    wanted = 6 * multiply_adds(design, shape) / 2e9 + 3e-9 * written[0] + 5e-9 * written[1]
    assert rate.seconds(design, shape) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        ("AMX", "bf16 by a unit"),
        ("tensor cores", "bf16 by a unit"),
        ("AVX512-BF16", "bf16"),
        ("", "bf16"),  # as asked, in software
    ],
)
def test_constants_are_those_of_what_multiplies(monkeypatch, unit, kind):
    monkeypatch.setattr(precision, "bf16_unit", lambda device: unit)
    assert rate_module._narrow_kind("cpu") == kind


def test_this_machine_has_a_rate():
    rate = measure_rate()
    assert 0.25 < rate.gigaflops < 1e6
    is_narrow = choose_precision("cpu").format == "bf16"
    assert (rate.pooled_s > 0) == (rate.other_s > 0) == is_narrow
    assert NOMINAL.pooled_s == NOMINAL.other_s == 0
