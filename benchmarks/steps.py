"""Whether the planner's reckoning of a step is right, over our own family of networks.

    python -m benchmarks.steps [--quick]

Each design is trained for some steps on random pictures, and what a picture took is set beside
what `saccade.training.rate` says for the machine's rate as measured a moment before. The plan needs
no more than the right order: a network twice too large gets half of its epochs.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.timing import Result, Spread, at_most, publish, spread

BATCH = 128
SMALL = ((28, 1), ((16, 32, 64), 0), ((32, 64, 128), 0), ((32, 64, 128), 1))
COLOUR = ((32, 3), ((32, 64, 128), 1), ((64, 128, 256), 1))
PHOTOS = ((96, 3), ((16, 32, 64, 128), 0), ((32, 64, 128, 256), 1))
LARGE = ((160, 3), ((48, 96, 192, 384, 512), 1))
EACH = (SMALL, COLOUR, PHOTOS, LARGE)
STEPS, ROUNDS = 20, 5


def seconds_a_picture(side: int, channels: int, widths: tuple[int, ...], depth: int) -> list[float]:
    """Return what a picture of a step took, round by round."""
    from saccade.models.compact import build_compact
    from saccade.training import derive_plan
    from saccade.training.learner import Learner

    design = design_of(side, widths, depth)
    plan = derive_plan(facts(side, channels))
    model = build_compact(design, input_shape=(side, side, channels), num_classes=10)
    learner, random = Learner(model, plan), np.random.default_rng(0)
    pixels = random.integers(0, 256, (BATCH, side, side, channels), dtype=np.uint8)
    labels = random.integers(0, 10, BATCH)
    taken = []
    for number in range(1 + ROUNDS):
        began = time.perf_counter()
        for _ in range(STEPS):
            loss = learner.train(pixels, labels, 1e-3)
        float(loss)
        if number:
            taken.append((time.perf_counter() - began) / STEPS / BATCH)
    return taken


def design_of(side: int, widths: tuple[int, ...], depth: int):
    from saccade.models.compact import CompactDesign

    small = side < 64
    head = "whole" if small else "pooled"
    return CompactDesign(stem_stride=1 if small else 2, widths=widths, depth=depth, head=head)


def facts(side: int, channels: int):
    from saccade.training import Facts

    sizes = {"width_px": side, "height_px": side, "same_size": True, "channels": channels}
    return Facts(**sizes, num_classes=10, num_train=50_000, budget_s=60.0, epochs=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest network alone")
    given = parser.parse_args()
    from saccade.models import engine_name
    from saccade.training.rate import measure_rate

    engine_name()
    rate = measure_rate()
    print(
        f"products {rate.gigaflops:,.0f} GFLOP/s, {rate.pooled_s * 1e9:.2f} ns an entry of a map "
        f"that is pooled at once, {rate.other_s * 1e9:.2f} of another"
    )
    figures: dict[str, Spread] = {}
    errors = []
    for (side, channels), *designs in (SMALL,) if given.quick else EACH:
        for widths, depth in designs[:1] if given.quick else designs:
            reckoned = rate.seconds(design_of(side, widths, depth), (side, side, channels))
            taken = spread(
                [s * 1e6 for s in seconds_a_picture(side, channels, widths, depth)], "µs"
            )
            name = f"{'-'.join(map(str, widths))}, {depth} pairs, {side} px"
            print(f"{name}: {taken} a picture, reckoned {reckoned * 1e6:.0f}", flush=True)
            figures[name] = taken
            figures[f"{name}, taken over reckoned"] = spread(
                [taken.low / (reckoned * 1e6)], "times"
            )
            errors.append(max(taken.low / (reckoned * 1e6), reckoned * 1e6 / taken.low))
    targets = [at_most("the reckoning's largest error, as a factor", 1.5, max(errors))]
    publish(
        Result(benchmark="steps", settings=vars(given), figures=figures, targets=targets, peers={})
    )


if __name__ == "__main__":
    main()
