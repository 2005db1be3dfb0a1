"""Rules on labels: do they have the form that the loss wants, and a place among the outputs?"""

from __future__ import annotations

from collections.abc import Iterator

from saccade.doctor.case import Case
from saccade.doctor.data import Labels
from saccade.doctor.network import Step
from saccade.finding import Finding


def one_hot_with_sparse_loss(case: Case) -> Iterator[Finding]:
    """One-hot rows, and a loss that wants the number of the class."""
    labels, loss = _labels(case), case.loss
    if labels is None or loss is None or labels.kind != "one-hot" or loss.family != "sparse":
        return
    yield Finding(
        name="one-hot-with-sparse-loss",
        severity="serious",
        where="y",
        message="The labels are one-hot rows, and the sparse loss wants the number of each row's "
        "class: training stops with an error about shapes, or learns from zeros and ones as if "
        "they were classes.",
        cure="y = y.argmax(axis=1)",
    )


def numbers_with_categorical_loss(case: Case) -> Iterator[Finding]:
    """Class numbers, and a loss that wants one-hot rows."""
    labels, loss, width = _labels(case), case.loss, _num_outputs(case)
    if labels is None or loss is None or width is None or width < 2:
        return
    if labels.kind == "numbers" and loss.family == "categorical":
        yield Finding(
            name="numbers-with-categorical-loss",
            severity="serious",
            where="y",
            message="The labels are class numbers, and categorical cross-entropy wants one-hot "
            "rows: training stops with an error about shapes, or multiplies each loss by the "
            "number of its class.",
            cure=loss.cure(family="sparse"),
        )


def labels_out_of_range(case: Case) -> Iterator[Finding]:
    """A class number that no output stands for."""
    labels, loss, width = _labels(case), case.loss, _num_outputs(case)
    if labels is None or loss is None or width is None or labels.kind != "numbers":
        return
    if loss.family == "categorical" or loss.ignores_a_class or (width == 1) != _is_binary(case):
        return
    most = 1 if _is_binary(case) else width - 1
    if labels.smallest >= 0 and labels.largest <= most:
        return
    yield Finding(
        name="labels-out-of-range",
        severity="serious",
        where="y",
        message=f"The labels go from {labels.smallest} to {labels.largest}, and the outputs stand "
        f"for 0 to {most}: the loss of what lies outside means nothing, or training stops.",
        cure=_into_range(labels, most, last=case.deciding),
    )


def classes_and_outputs_differ(case: Case) -> Iterator[Finding]:
    """As many outputs as classes, or one output for two."""
    width, classes = _num_outputs(case), case.data.num_classes if case.data else None
    if width is None or classes is None or width == classes:
        return
    step = case.deciding
    if step is None or (width == 1 and (classes == 2 or step.activation == "softmax")):
        return  # the softmax of one number has a finding of its own
    if step.kind == "Dense" and step.shape[-1] != width:
        return  # a map laid out flat: so has the dense layer on a feature map
    yield Finding(
        name="classes-and-outputs-differ",
        severity="serious",
        where=step.name,
        message=f"The network has {width} outputs and the data {classes} classes: "
        + (
            "some classes can never be named."
            if width < classes
            else "outputs without a class take their share of every answer."
        ),
        cure=_outputs(classes, step),
    )


def _labels(case: Case) -> Labels | None:
    return case.data.labels if case.data else None


def _is_binary(case: Case) -> bool:
    return case.loss is not None and case.loss.family == "binary"


def _num_outputs(case: Case) -> int | None:
    """Return the number of outputs for a picture; None where that is unknown or not a row."""
    output = case.network.output if case.network else None
    return output.shape[0] if output is not None and len(output.shape) == 1 else None


def _into_range(labels: Labels, most: int, *, last: Step | None) -> str:
    if labels.smallest == 1 and labels.largest == most + 1:
        return "y = y - 1"
    if (labels.smallest, labels.largest, most) == (-1, 1, 1):
        return "y = (y + 1) // 2"
    if labels.smallest < 0 or last is None:
        return "y = np.unique(y, return_inverse=True)[1]"
    return _outputs(labels.largest + 1, last)


def _outputs(count: int, last: Step) -> str:
    known = last.activation if last.activation in ("softmax", "linear") else "softmax"
    return f'keras.layers.Dense({count}, activation="{known}"),  # in place of {last.name!r}'
