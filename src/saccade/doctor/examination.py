"""All rules, asked in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from saccade.doctor import endings, habits, labels, logits, outputs, scaling, structure
from saccade.doctor.case import Case
from saccade.finding import Finding

Rule = Callable[[Case], Iterator[Finding]]

RULES: Final[tuple[Rule, ...]] = (
    outputs.softmax_of_one,
    outputs.dense_on_feature_map,
    outputs.map_of_answers,
    outputs.softmax_taken_as_logits,
    outputs.logits_taken_as_probabilities,
    logits.logits_cut_off,
    outputs.sigmoid_with_categorical_loss,
    outputs.binary_loss_over_softmax,
    outputs.categorical_loss_of_one_output,
    endings.softmax_of_softmax,
    endings.softmax_between_layers,
    endings.noise_behind_the_answers,
    endings.softmax_over_wrong_axis,
    labels.one_hot_with_sparse_loss,
    labels.numbers_with_categorical_loss,
    labels.labels_out_of_range,
    labels.classes_and_outputs_differ,
    scaling.pixels_divided_twice,
    scaling.pixels_not_scaled,
    scaling.statistics_of_other_pixels,
    structure.flatten_explosion,
    structure.no_non_linearity,
    habits.validation_seen_in_training,
    habits.validated_on_test_data,
    habits.epochs_unwatched,
    habits.tiny_batches,
    habits.sorted_without_shuffling,
    habits.validation_split_of_sorted,
)


def examine(case: Case) -> tuple[Finding, ...]:
    """Return what every rule finds, in the rules' order."""
    return tuple(finding for rule in RULES for finding in rule(case))


def warnings_before_training(case: Case) -> tuple[str, ...]:
    """Return a text for each serious finding: what it is, and on a second line its cure."""
    serious = (finding for finding in examine(case) if finding.severity == "serious")
    return tuple(f"{f.name}: {f.message}\n         Cure: {f.cure}" for f in serious)
