"""What follows training, rehearsed: how long it will take, before it is known what is trained.

A network that is not trained yet takes as long to convert, to check and to run as the same network
afterwards. So it is shipped once, into a temporary folder, with a few training pictures. That also
imports what shipping needs, and a model that cannot be shipped is refused before it is trained.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from saccade.bundle import Manifest, write_bundle
from saccade.bundle.unusualness import FEWEST_VALIDATION, Known
from saccade.data.references import NUM_REFERENCES
from saccade.evaluation import TARGET_ERROR_RATE, apply_temperature, evaluate, evaluate_labels
from saccade.models import AS_IT_IS
from saccade.predict import Classifier, load
from saccade.progress import Progress, Silence
from saccade.recipe.prepare import Prepared
from saccade.recipe.unknown import num_known
from saccade.recipe.views import ways_of_looking, with_views
from saccade.training import Pictures, decide_mirroring, logits_of
from saccade.types import TEST, TRAIN, VALIDATION

_SOME: Final = 32  # pictures to rehearse with
_MORE: Final = 64  # pictures of a batch, each of which costs about as much as in a longer one
_TIMES: Final = 3  # that it is asked; the second still finds its memory for the first time
_LONG_S: Final = 3.0  # a bundle that takes this long is large, and rehearsed once only
# Not rehearsed, since it hangs on no network: what to do next, most of it an import; writing the
# report, its pictures and `run.json`; and, around the recipe, starting Python and ending it.
# Measured on 2 cores with nothing beside; on a machine that others use too they take longer, by as
# much as the rehearsal waited for the processor.
_ADVICE_S: Final = 0.5
_REPORT_S: Final = 0.6
_AROUND_S: Final = 0.6
_BUSIEST: Final = 10.0  # times as long; beyond that it waited for something else


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """About how many seconds it takes from a training's last weights on."""

    shipping_s: float  # of the one that is shipped, to the end of the program
    asking_s: float  # of each beside it, to its answers and what they say

    def after_s(self, num_beside: int = 0) -> float:
        """Return the seconds of shipping, and of asking those beside it."""
        return self.shipping_s + num_beside * self.asking_s


def seconds_of_ending(network: Any, prepared: Prepared, *, progress: Progress) -> Ending:
    """Return about how long what follows training will take.

    Raises BundleError where the network cannot be shipped.
    """
    train = prepared.pictures(TRAIN)
    asked = 1.0  # times that validation is asked of the network that ends up in the bundle
    if prepared.plan.design is not None:
        plan, _ = decide_mirroring(prepared.plan, train)  # as training will
        ways = ways_of_looking(prepared.plan.design, mirrored=plan.augmentation.flip)
        if ways:
            network = with_views(network, prepared, ways[-1])  # it may be shipped so
            asked += (AS_IT_IS not in ways[-1]) / len(ways[-1])  # and by itself, to compare
    some = _first(train, _SOME)
    batch = _first(train, min(_MORE, train.scored_at_once))
    with progress.stage("rehearse"), tempfile.TemporaryDirectory(prefix="saccade-") as folder:
        path = Path(folder, "model.saccade")
        classifier, fixed_s, busy = _ship(network, prepared, some, path)
        if fixed_s < _LONG_S * busy:  # most of it was imports and warming up, which come once
            classifier, fixed_s, busy = _ship(network, prepared, some, path)
        (pixels,) = batch.batches()
        running_s = _seconds_a_picture(lambda: classifier.predict_batch(pixels), len(pixels))
        calibrating_s = _seconds_a_picture(
            lambda: logits_of(network, batch, progress=Silence()), len(pixels)
        )
    num_validation = len(prepared.pictures(VALIDATION).rows)
    num_test = len(prepared.pictures(TEST).rows)
    judging_s = calibrating_s * num_validation * asked
    num_others = num_known(prepared) + NUM_REFERENCES
    judging_s += running_s * (num_validation + num_test + num_others)
    scoring_s = _scoring_s(prepared, num_test)
    around_s = busy * (_ADVICE_S + _REPORT_S + _AROUND_S)
    return Ending(
        shipping_s=fixed_s + judging_s + scoring_s + around_s,
        # What it says counts twice: by itself, and together with the others.
        asking_s=calibrating_s * (asked * num_validation + num_test) + 2 * scoring_s,
    )


def _ship(
    network: Any, prepared: Prepared, some: Pictures, path: Path
) -> tuple[Classifier, float, float]:
    """Return a bundle, opened, and the seconds that writing and opening it took.

    The last number is by how much it took longer than it would alone on the machine, 1 to 10.
    """
    began, worked = time.monotonic(), time.process_time()
    logits = logits_of(network, some, progress=Silence())
    answered = time.monotonic()
    enough = len(some.rows) >= FEWEST_VALIDATION
    manifest = Manifest(
        name="rehearsal",
        created=datetime.now(UTC).isoformat(),
        classes=prepared.classes,
        preprocessing=prepared.preprocessing,
        temperature=1.0,
        threshold=0.0,
        target_error_rate=TARGET_ERROR_RATE,
        label_thresholds=None if prepared.sets is None else (0.5,) * len(prepared.classes),
        provenance={},
    )
    write_bundle(
        path,
        manifest,
        model=network,
        seen=np.unique(prepared.cache.pixel_digest),
        parity_pixels=some.batches(),
        parity_logits=logits,
        known=Known(train=some.batches(), validation=some.batches()) if enough else None,
    )
    classifier = load(path)
    ended = time.monotonic()
    busy = min(max((ended - began) / max(time.process_time() - worked, 1e-3), 1.0), _BUSIEST)
    return classifier, ended - answered, busy


def _seconds_a_picture(ask: Callable[[], Any], count: int) -> float:
    """Return the seconds of one of `count` pictures, once they are warm."""
    took = []
    for _ in range(_TIMES):
        began = time.monotonic()
        ask()
        took.append(time.monotonic() - began)
    return min(took) / count


def _first(pictures: Pictures, count: int) -> Pictures:
    return pictures.some(np.arange(min(count, len(pictures.rows))))


def _scoring_s(prepared: Prepared, num_test: int) -> float:
    """Return the seconds of working out every figure, by working them out of made-up answers."""
    classes = prepared.classes
    random = np.random.default_rng(0)
    logits = random.normal(size=(num_test, len(classes))).astype(np.float32)
    labels = random.integers(0, len(classes), num_test)
    began = time.monotonic()
    if prepared.sets is not None:
        evaluate_labels(
            random.random(logits.shape),
            logits > 0,
            labels=classes,
            thresholds=(0.5,) * len(classes),
            baseline=logits[0] > 0,
            baseline_class="",
        )
        return time.monotonic() - began
    evaluate(
        apply_temperature(logits, 1.0),
        labels,
        classes=classes,
        baseline_class=classes[0],
        threshold=0.0,
        target_error_rate=TARGET_ERROR_RATE,
    )
    return time.monotonic() - began
