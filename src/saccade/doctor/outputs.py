"""Rules on the last layer and the loss: do they speak of the same numbers?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saccade.doctor.case import Case
from saccade.doctor.cures import with_activation
from saccade.doctor.loss import Family
from saccade.doctor.network import Network, Step
from saccade.finding import Finding

_NO_SHARES: Final = frozenset(
    "celu elu gelu hard_tanh leaky_relu linear log_softmax mish".split()
    + "prelu relu relu6 selu silu softsign tanh".split()
)
_NORMALIZED: Final = ("BatchNormalization", "GroupNormalization", "LayerNormalization")


def softmax_of_one(case: Case) -> Iterator[Finding]:
    """The softmax of one number is 1, whatever the number."""
    binary = case.loss is not None and case.loss.family == "binary"
    classes, more = _num_classes(case), ""
    if binary and (isinstance(classes, str) or classes <= 2):
        last = 'Dense(1, activation="sigmoid")'
    else:
        last = f'Dense({classes}, activation="softmax")'
        more = ", with the loss sparse_categorical_crossentropy" if binary else ""
    for step in case.network.steps if case.network else ():
        if step.activation == "softmax" and _softmax_size(step) == 1:
            yield Finding(
                name="softmax-of-one",
                severity="serious",
                where=step.name,
                message=f"{step.name!r} is a softmax of one number, which is 1 for every picture: "
                "the network always gives the same answer, and nothing is learned.",
                cure=f"keras.layers.{last},  # in place of {step.name!r}{more}",
            )


def softmax_taken_as_logits(case: Case) -> Iterator[Finding]:
    """Probabilities, and a loss that puts them through a softmax or sigmoid once more."""
    step, loss = case.deciding, case.loss
    if step is None or loss is None or not loss.from_logits:
        return
    if step.activation in ("softmax", "sigmoid"):
        yield Finding(
            name=f"{step.activation}-taken-as-logits",
            severity="serious",
            where=step.name,
            message=f"{step.name!r} already ends in a {step.activation}, and the loss was told "
            "from_logits=True, so it applies one more: differences are flattened, and the network "
            "learns slowly and is never sure.",
            cure=loss.cure(from_logits=False),
        )


def logits_taken_as_probabilities(case: Case) -> Iterator[Finding]:
    """Any numbers, and a loss that takes the logarithm of what it believes to be probabilities."""
    step, loss, width = case.deciding, case.loss, _width(case.network)
    if step is None or loss is None or width is None or loss.from_logits:
        return
    if step.kind in _NORMALIZED:
        ends, cure = "in numbers around 0", loss.cure(from_logits=True)
    elif step.activation not in _NO_SHARES or not (step.is_weighted or step.is_function):
        return
    elif step.activation == "linear":
        ends, cure = "without an activation", loss.cure(from_logits=True)
    else:
        wanted = "sigmoid" if loss.family == "binary" else "softmax"
        ends, cure = f"in a {step.activation}", with_activation(step, wanted, width=width)
    yield Finding(
        name="logits-taken-as-probabilities",
        severity="serious",
        where=step.name,
        message=f"{step.name!r} ends {ends}, and the loss takes its numbers for probabilities: it "
        "cuts off what lies outside 0 to 1, where nothing is learned.",
        cure=cure,
    )


def sigmoid_with_categorical_loss(case: Case) -> Iterator[Finding]:
    """Several sigmoids do not add up to 1, as the classes of one picture must."""
    step, loss, width = case.deciding, case.loss, _width(case.network)
    if step is None or loss is None or width is None or width < 2 or loss.from_logits:
        return
    if step.activation == "sigmoid" and loss.family != "binary":
        yield Finding(
            name="sigmoid-with-categorical-loss",
            severity="serious",
            where=step.name,
            message=f"{step.name!r} gives {width} sigmoids, which need not add up to 1, and the "
            "loss expects one distribution over the classes: only the ratios are trained, and the "
            "numbers shown are no probabilities.",
            cure=with_activation(step, "softmax", width=width),
        )


def binary_loss_over_softmax(case: Case) -> Iterator[Finding]:
    """Binary cross-entropy asks each class by itself; a softmax shares 1 out among them."""
    step, loss, width = case.deciding, case.loss, _width(case.network)
    if step is None or loss is None or width is None or width < 3:
        return  # over two columns it is the same loss
    if step.activation == "softmax" and loss.family == "binary" and not loss.from_logits:
        yield Finding(
            name="binary-loss-over-softmax",
            severity="serious",
            where=step.name,
            message=f"{step.name!r} is a softmax over {width} classes, and binary cross-entropy "
            "asks yes or no of each: it looks small because most of these answers are no, and "
            "trains the right class too little.",
            cure=loss.cure(family=_one_class_family(case), from_logits=False),
        )


def categorical_loss_of_one_output(case: Case) -> Iterator[Finding]:
    """A distribution over one class: its loss is 0 from the start."""
    step, loss = case.deciding, case.loss
    if step is None or loss is None or _width(case.network) != 1 or loss.family == "binary":
        return
    if step.activation != "softmax":  # which has its own finding
        yield Finding(
            name="categorical-loss-of-one-output",
            severity="serious",
            where=step.name,
            message=f"{step.name!r} has one output, and over a single class the loss of "
            f"{loss.name} is always 0: nothing is learned.",
            cure=loss.cure(family="binary", from_logits=step.activation != "sigmoid"),
        )


def dense_on_feature_map(case: Case) -> Iterator[Finding]:
    """A dense layer on a map works at each place by itself, so the answer is one a place."""
    first = _first_dense_on_map(case)
    if first is not None:
        sides = "×".join("?" if side is None else str(side) for side in first.shape[:-1])
        yield Finding(
            name="dense-on-feature-map",
            severity="serious",
            where=first.name,
            message=f"{first.name!r} is applied at each of {sides} places by itself, since nothing "
            "flattens or pools the feature map before it: the network gives an answer for each "
            "place and none for the picture.",
            cure=f"keras.layers.Flatten(),  # before {first.name!r}",
        )


def map_of_answers(case: Case) -> Iterator[Finding]:
    """A map at the end, from whatever layer, where each picture has one class."""
    output, data = case.network.output if case.network else None, case.data
    if output is None or data is None or len(output.shape) != 3 or _first_dense_on_map(case):
        return
    labels = data.labels
    if data.num_classes is None and (labels is None or labels.kind == "other"):
        return
    yield Finding(
        name="map-of-answers",
        severity="serious",
        where=output.name,
        message=f"{output.name!r} gives a map of answers, one for each place, and each picture has "
        "one class: nothing pools or flattens the map.",
        cure=f"keras.layers.GlobalAveragePooling2D(),  # behind {output.name!r}",
    )


def _first_dense_on_map(case: Case) -> Step | None:
    """Return the first of the dense layers that make a map of answers; None where there is none.

    A map of the input's own size may be meant, as in segmentation, unless labels are one a picture.
    """
    network = case.network
    if network is None or network.output is None or len(network.inputs) != 1:
        return None
    labels = case.data.labels if case.data else None
    if labels is not None and labels.kind == "other":
        return None
    output, given = network.output, network.inputs[0]
    laid_out = network.before(output) if output.kind == "Flatten" else None
    if laid_out is not None and any(side != 1 for side in laid_out.shape[:-1]):
        output = laid_out  # a map of answers in a row is no other
    if labels is None and output.shape[:-1] == given.shape[: len(output.shape) - 1]:
        return None
    least = 3 if labels is None or len(given.shape) < 2 else 2  # (h, w, C), or (n, C)
    if len(output.shape) < least:
        return None
    path = (output, *network.back(output))
    ends = (i for i, s in enumerate(path) if s.is_weighted and s.kind != "Dense")
    behind = [s for s in path[: next(ends, None)] if s.kind == "Dense" and len(s.shape) >= least]
    return behind[-1] if behind else None


def _width(network: Network | None) -> int | None:
    """The number of outputs at one place."""
    output = network.output if network else None
    return output.shape[-1] if output is not None and output.shape else None


def _softmax_size(step: Step) -> int | None:
    axis = getattr(step.layer, "axis", -1) if step.kind == "Softmax" else -1
    whole = (None, *step.shape)
    return whole[axis] if isinstance(axis, int) and -len(whole) <= axis < len(whole) else None


def _num_classes(case: Case) -> int | str:
    """Return the number of classes for a line of code: a number where one is known."""
    labels = case.data.labels if case.data else None
    if case.data is not None and case.data.num_classes is not None:
        return case.data.num_classes
    return labels.largest + 1 if labels is not None and labels.kind == "numbers" else "num_classes"


def _one_class_family(case: Case) -> Family:
    labels = case.data.labels if case.data else None
    return "sparse" if labels is not None and labels.kind == "numbers" else "categorical"
