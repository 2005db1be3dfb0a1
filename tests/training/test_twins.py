"""Every twin against the Keras layer that it stands for: outputs, gradients, statistics.

The same contract holds for the passes that the graph joins of several layers, as `Graph` joins
them, against the layers one by one.
"""

from __future__ import annotations

import copy
import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
import torch
from tests.training.pieces import PIECES

from saccade.models.backend import load_keras
from saccade.models.functional import nodes_in_order
from saccade.training import twins
from saccade.training.graph import Graph, _joined, graph_of
from saccade.training.kernels import library
from saccade.training.precision import BF16
from saccade.training.twins import Chain, twin_of
from saccade.training.twins.registry import _TWINS

keras = load_keras()
L = keras.layers

needs_tiles = pytest.mark.skipif(
    not library.has_tiles(), reason="the processor multiplies no bfloat16"
)

# Float32 sums in another order differ in the last digits: 1e-5 of values around 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}

MAPS = (9, 8, 3)
PAIR = ((5, 4, 3), (5, 4, 3))
GATE = ((5, 4, 3), (1, 1, 3), (5, 4, 1))  # axes of length 1 stretch
FROM_CONVNEXT = keras.src.applications.convnext
FROM_INCEPTION = keras.src.applications.inception_resnet_v2
KNOWN = {"mean": [0.1, 0.2, 0.3], "variance": [0.5, 2.0, 0.0]}

# What to make, and the shape, or shapes, of a picture that goes in.
LAYERS: dict[str, tuple[Callable[[], Any], Any]] = {
    "activation": (lambda: L.Activation("relu"), (5, 4)),
    "add": (lambda: L.Add(), PAIR),
    "add-stretched": (lambda: L.Add(), GATE),
    "average": (lambda: L.AveragePooling2D(2), (8, 6, 3)),
    "average-odd": (lambda: L.AveragePooling2D(3, strides=2), MAPS),
    "average-same": (lambda: L.AveragePooling2D(3, strides=1, padding="same"), MAPS),
    "average-same-2": (lambda: L.AveragePooling2D(3, strides=2, padding="same"), MAPS),
    "average-same-even": (lambda: L.AveragePooling2D(2, padding="same"), (9, 7, 3)),
    "batch": (lambda: L.BatchNormalization(), (6, 5, 3)),
    "batch-bare": (lambda: L.BatchNormalization(center=False, scale=False), (6,)),
    "batch-axis": (lambda: L.BatchNormalization(axis=3, momentum=0.5), (6, 5, 3)),
    "batch-flat": (lambda: L.BatchNormalization(), (6,)),
    "batch-frozen": (lambda: L.BatchNormalization(trainable=False), (6,)),
    "concatenate": (lambda: L.Concatenate(), ((5, 4, 3), (5, 4, 1))),
    "concatenate-rows": (lambda: L.Concatenate(axis=1), ((5, 4, 3), (2, 4, 3), (1, 4, 3))),
    "conv": (lambda: L.Conv2D(5, 3), MAPS),
    "conv-same": (lambda: L.Conv2D(5, (3, 5), padding="same", activation="relu"), MAPS),
    "conv-even": (lambda: L.Conv2D(5, 2, padding="same"), (7, 8, 3)),
    "conv-leaky": (lambda: L.Conv2D(5, 3, activation=L.LeakyReLU(0.1)), MAPS),
    "conv-strides": (lambda: L.Conv2D(5, 3, strides=2, padding="same"), (8, 9, 3)),
    "conv-strides-2": (lambda: L.Conv2D(5, 3, strides=(2, 3)), (10, 11, 3)),
    "conv-dilated": (lambda: L.Conv2D(5, 3, dilation_rate=2, padding="same"), MAPS),
    "conv-groups": (lambda: L.Conv2D(6, 3, groups=2, use_bias=False), (9, 8, 4)),
    "conv-grey": (lambda: L.Conv2D(4, 3, activation="tanh"), (9, 8, 1)),
    "cropping": (lambda: L.Cropping2D(((1, 0), (2, 1))), MAPS),
    "dense": (lambda: L.Dense(4), (6,)),
    "dense-softmax": (lambda: L.Dense(4, activation="softmax"), (6,)),
    "dense-maps": (lambda: L.Dense(4, use_bias=False, activation="silu"), (5, 6, 3)),
    "depth-none": (lambda: FROM_CONVNEXT.StochasticDepth(0.0), MAPS),
    "depthwise": (lambda: L.DepthwiseConv2D(3, padding="same"), MAPS),
    "depthwise-2": (lambda: L.DepthwiseConv2D(3, strides=2, depth_multiplier=2), MAPS),
    "depthwise-3": (lambda: L.DepthwiseConv2D(5, strides=2, padding="same"), (8, 8, 3)),
    "dropout-none": (lambda: L.Dropout(0.0), (6,)),
    "dropout-none-shape": (lambda: L.Dropout(0.0, noise_shape=(None, 1, 1, 1)), MAPS),
    "elu": (lambda: L.ELU(0.7), (5, 4)),
    "flatten": (lambda: L.Flatten(), (4, 3, 2)),
    "global-average": (lambda: L.GlobalAveragePooling2D(), (4, 3, 2)),
    "global-average-kept": (lambda: L.GlobalAveragePooling2D(keepdims=True), (4, 3, 2)),
    "global-max": (lambda: L.GlobalMaxPooling2D(keepdims=True), (4, 3, 2)),
    "group": (lambda: L.GroupNormalization(2), (5, 4, 6)),
    "group-instance": (lambda: L.GroupNormalization(-1, axis=3, scale=False), (5, 4, 6)),
    "group-flat": (lambda: L.GroupNormalization(3, center=False), (6,)),
    "identity": (lambda: L.Identity(), (6,)),
    "layer": (lambda: L.LayerNormalization(epsilon=1e-6), (5, 4, 6)),
    "layer-bare": (lambda: L.LayerNormalization(center=False, scale=False), (6,)),
    "layer-scale": (lambda: FROM_CONVNEXT.LayerScale(1e-6, 3), MAPS),
    "leaky-relu": (lambda: L.LeakyReLU(0.2), (5, 4)),
    "max": (lambda: L.MaxPooling2D(), (8, 6, 3)),
    "max-odd": (lambda: L.MaxPooling2D(), (9, 7, 3)),
    "max-overlap": (lambda: L.MaxPooling2D(3, strides=2, padding="same"), (8, 9, 3)),
    "max-same": (lambda: L.MaxPooling2D(2, padding="same"), (9, 7, 3)),
    "maximum": (lambda: L.Maximum(), GATE),
    "mean": (lambda: L.Average(), GATE),
    "minimum": (lambda: L.Minimum(), GATE),
    "multiply": (lambda: L.Multiply(), PAIR),
    "multiply-stretched": (lambda: L.Multiply(), GATE),
    "normalization": (lambda: L.Normalization(**KNOWN), MAPS),
    "normalization-back": (lambda: L.Normalization(**KNOWN, invert=True), MAPS),
    "normalization-new": (lambda: L.Normalization(), MAPS),
    "padding": (lambda: L.ZeroPadding2D(((0, 1), (2, 3))), MAPS),
    "permute": (lambda: L.Permute((2, 3, 1)), MAPS),
    "prelu": (lambda: L.PReLU(), (5, 4)),
    "prelu-shared": (lambda: L.PReLU(shared_axes=[1, 2]), MAPS),
    "relu": (lambda: L.ReLU(), (6,)),
    "relu-6": (lambda: L.ReLU(6.0), (6,)),
    "relu-bounded": (lambda: L.ReLU(0.7), (5, 4)),
    "relu-slope": (lambda: L.ReLU(negative_slope=0.1), (5, 4)),
    "relu-threshold": (lambda: L.ReLU(threshold=0.3), (5, 4)),
    "relu-all": (lambda: L.ReLU(0.9, negative_slope=0.2, threshold=0.3), (5, 4)),
    "rescaling": (lambda: L.Rescaling(2.0, offset=-1.0), (4, 3, 2)),
    "rescaling-channels": (lambda: L.Rescaling([2.0, 3.0], offset=[-1.0, 0.5]), (4, 3, 2)),
    "reshape": (lambda: L.Reshape((2, -1)), (4, 3)),
    "scaled-sum": (lambda: FROM_INCEPTION.CustomScaleLayer(0.2), PAIR),
    "separable": (lambda: L.SeparableConv2D(5, 3, padding="same", activation="relu"), MAPS),
    "separable-2": (lambda: L.SeparableConv2D(5, 3, strides=2, depth_multiplier=2), MAPS),
    "softmax": (lambda: L.Softmax(), (6,)),
    "softmax-rows": (lambda: L.Softmax(axis=1), (5, 4)),
    "spatial-none": (lambda: L.SpatialDropout2D(0.0), (4, 3, 2)),
    "subtract": (lambda: L.Subtract(), PAIR),
    "upsampling": (lambda: L.UpSampling2D((2, 3)), MAPS),
}
LAYERS |= {
    f"activation-{name}": (functools.partial(L.Activation, name), (5, 4))
    for name in (
        *("celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu"),
        *("linear", "log_softmax", "mish", "relu6", "selu", "sigmoid", "silu", "softmax"),
        *("softplus", "softsign", "tanh"),
    )
}


CONTRACT = [*LAYERS, *PIECES]


def built(name: str, policy: str = "float32", num_pictures: int = 4) -> tuple[Any, Any]:
    """Return a layer, or a model, with every weight drawn at random, and inputs for it."""
    keras.utils.set_random_seed(3)
    with under(policy):
        if name in PIECES:
            shapes: tuple[Any, ...] = (PIECES[name].shape,)
            source = keras.Input(shapes[0])
            subject = keras.Model(source, PIECES[name].make(source))
        else:
            make, shape = LAYERS[name]
            shapes = shape if isinstance(shape[0], tuple) else (shape,)
            subject = make()
        inputs = [2 * torch.randn(num_pictures, *shape) for shape in shapes]
        inputs[0].view(-1)[:2] = torch.tensor([8.0, -8.0])  # beyond where ReLU6 and the like turn
        as_keras_takes(subject, inputs)
    for variable in subject.variables:
        if variable.dtype.startswith("float") and not isinstance(subject, L.Normalization):
            in_a_row = name in PIECES and variable.name == "kernel"  # where numbers must not grow
            values = 0.1 * torch.randn(variable.shape) if in_a_row else torch.rand(variable.shape)
            variable.assign(values if in_a_row else 0.2 + 0.8 * values)
    return subject, inputs


@contextmanager
def under(policy: str) -> Iterator[None]:
    """Let layers be made with this policy for numbers."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    yield
    keras.config.set_dtype_policy(before)


def as_keras_takes(layer: Any, inputs: list[torch.Tensor], **options: bool) -> torch.Tensor:
    """Call a layer; one that merges takes a list."""
    return layer(inputs if len(inputs) > 1 else inputs[0], **options)


def by_keras(subject: Any, training: bool) -> Callable[..., torch.Tensor]:
    """Return a call of the layers themselves."""
    takes = isinstance(subject, keras.Model) or subject._call_has_training_arg
    options = {"training": training} if takes else {}
    return lambda *inputs: as_keras_takes(subject, list(inputs), **options)


def by_twin(subject: Any, name: str) -> torch.nn.Module:
    """Return the twin of a layer, or the graph of a model, joined as it should be."""
    if name not in PIECES:
        twin = twin_of(subject)
        assert twin is not None
        return twin
    graph = Graph(graph_of(subject))
    assert graph.num_foreign == 0
    assert tuple(type(twin) for twin in in_order(graph)) == PIECES[name].becomes
    return graph


def in_order(graph: Graph) -> list[torch.nn.Module]:
    """Return the twins of a graph in the order in which they run."""
    called = [call.twin for call in graph._calls]
    return [twin for c in called for twin in (c.twins if isinstance(c, Chain) else [c])]


def outcome(
    call: Callable[..., torch.Tensor],
    inputs: list[torch.Tensor],
    layer: Any,
    *,
    training: bool = True,
    is_first: bool = False,
) -> list[Any]:
    """Return output, gradients of inputs and weights, and all the layer's variables.

    All that twice: the first time a chain notes who does its work, the second they do it. Where
    nothing is trained, also the output without gradients, which other kernels may make.
    """
    inputs = [x.clone().requires_grad_(not is_first) for x in inputs]
    weights = [v.value for v in layer.trainable_variables]
    asked = [x for x in [*inputs, *weights] if x.requires_grad]
    found: list[Any] = []
    for _ in range(2):
        y = call(*inputs)
        slope = torch.linspace(-1.0, 2.0, y.numel()).reshape(y.shape)  # each counts its own way
        found += [y.detach(), *torch.autograd.grad((y * slope).sum(), asked)]
        found += [v.value.detach().clone() for v in layer.variables]
        with torch.no_grad():
            found += [] if training else [call(*inputs)]
    return found


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CONTRACT)
def test_twin_equals_its_layer(name: str, training: bool) -> None:
    options = {"training": training, "is_first": name in PIECES and PIECES[name].is_first}
    subject, inputs = built(name)
    wanted = outcome(by_keras(subject, training), inputs, subject, **options)
    subject, inputs = built(name)
    got = outcome(by_twin(subject, name).train(training), inputs, subject, **options)
    for ours, keras_s in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, keras_s, **CLOSE)


@needs_tiles
@pytest.mark.parametrize("name", PIECES)
def test_joined_pass_is_as_exact_as_layers_in_bfloat16(name: str) -> None:
    """How far each is from double precision, where factors of products have 8 bits.

    ReLUs that open, and windows whose largest entry is another, weigh more than the rounding
    itself. In Keras's layers they are as many; pieces are so large that neither hangs on one.
    """

    def found(policy: str, call: Callable[[Any, bool], Callable[..., torch.Tensor]]) -> list[Any]:
        subject, inputs = built(name, policy, num_pictures=26)
        return [
            tensor
            for count in (20, 26)  # some kernels' products take the pictures of a batch of 24
            for training in (False, True)
            for tensor in outcome(
                call(subject, training),
                [x[:count] for x in inputs],
                subject,
                training=training,
                is_first=PIECES[name].is_first,
            )
        ]

    def joined(subject: Any, training: bool) -> Callable[..., torch.Tensor]:
        graph = by_twin(subject, name).train(training)

        def call(x: torch.Tensor) -> torch.Tensor:
            with BF16.autocast("cpu"):
                return graph(x)

        return call

    exact, keras_s = found("float64", by_keras), found("mixed_bfloat16", by_keras)
    for ours, theirs, wanted in zip(found("float32", joined), keras_s, exact, strict=True):
        # At most twice as far; 1e-6 for numbers of which float32 alone is the rounding.
        assert error(ours, wanted) <= max(2 * error(theirs, wanted), 1e-6)


@needs_tiles
@pytest.mark.parametrize("name", [name for name in PIECES if PIECES[name].is_one_node])
def test_joined_pass_is_one_node_of_autograd(name: str) -> None:
    model, inputs = built(name)
    graph = by_twin(model, name).train()
    with BF16.autocast("cpu"):
        graph(*inputs)
        y = graph(*inputs)
    nodes = [node for node, _ in y.grad_fn.next_functions if node is not None]
    assert {type(node).__name__ for node in nodes} == {"AccumulateGrad"}
    assert len(nodes) == len(model.trainable_variables)


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the distance relative to what is wanted."""
    got, wanted = got.double(), wanted.double()
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("name", ["batch-flat", "batch-bare"])
def test_batch_of_one_picture_equals_its_layer(name: str) -> None:
    layer, (x,) = built(name)
    wanted = outcome(lambda x: layer(x, training=True), [x[:1]], layer)
    layer, (x,) = built(name)
    twin = twin_of(layer)
    assert twin is not None
    for ours, keras_s in zip(outcome(twin.train(True), [x[:1]], layer), wanted, strict=True):
        torch.testing.assert_close(ours, keras_s, **CLOSE)


def test_every_twin_is_compared() -> None:
    assert {type(make()) for make, _ in LAYERS.values()} == set(_TWINS)


@functools.cache
def contract() -> dict[str, tuple[Any, torch.nn.Module]]:
    """Return what is compared: each layer or model and its twin or graph."""
    subjects = {name: built(name)[0] for name in CONTRACT}
    return {name: (subject, by_twin(subject, name)) for name, subject in subjects.items()}


def classes_of_twins() -> set[type]:
    """Return every class that the modules of `saccade.training.twins` show."""
    names = [f"{twins.__name__}.{module.name}" for module in pkgutil.iter_modules(twins.__path__)]
    return {
        thing
        for name in names
        for thing in vars(importlib.import_module(name)).values()
        if isinstance(thing, type) and issubclass(thing, torch.nn.Module)
        if thing.__module__ == name and not thing.__name__.startswith("_")
    }


def test_every_class_of_twins_is_compared() -> None:
    """One that no layer and no piece of a network leads to would be compared with nothing."""
    compared = {type(twin) for _, whole in contract().values() for twin in whole.modules()}
    assert compared == classes_of_twins() | {Graph, torch.nn.ModuleList}


def test_every_pair_that_the_graph_joins_is_compared() -> None:
    """Ask it of all pairs of twins, and look for those that it joins in the pieces of networks."""
    by_layers = [contract()[name][1] for name in LAYERS]
    joined = {
        (type(first), type(second))
        for first, second in product(by_layers, by_layers)
        if _joined(copy.copy(first), copy.copy(second), num_inputs=2) is not None
    }
    compared = {pair for name in PIECES for pair in pairs_in(graph_of(contract()[name][0]))}
    assert joined
    assert joined <= compared


def pairs_in(model: Any) -> Iterator[tuple[type, type]]:
    """Yield the types of twins of layers of which one reads the other."""
    for node in nodes_in_order(model):
        for tensor in node.input_tensors:
            before = tensor._keras_history.operation
            yield type(twin_of(before)), type(twin_of(node.operation))


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Conv2D(4, 3, data_format="channels_first"),
        lambda: L.Dense(4, dtype="mixed_bfloat16"),
        lambda: L.Dense(4, activity_regularizer="l2"),
        lambda: L.BatchNormalization(axis=1),
        lambda: L.GroupNormalization(2, axis=1),
        lambda: L.LayerNormalization(axis=[1, 2]),
        lambda: L.UpSampling2D(interpolation="bilinear"),
    ],
)
def test_no_twin_where_it_would_not_be_exact(make: Callable[[], Any]) -> None:
    layer = make()
    layer.build((4, 8, 8, 3))
    assert twin_of(layer) is None


def test_no_twin_for_tensors_of_different_rank() -> None:
    layer = L.Add()
    layer.build([(4, 3), (4, 8, 3)])  # Keras stretches the first behind the batch
    assert twin_of(layer) is None


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda x, y: x + y,
    "shift": lambda x, y: x + 3.0,
    "shift-before": lambda x, y: 3 + x,
    "difference": lambda x, y: 1.0 - x,
    "product": lambda x, y: x * y,
    "square": lambda x, y: x * x,
    "scale": lambda x, y: x * (1.0 / 6.0),
    "quotient": lambda x, y: x / (y * y + 1.0),
    "share": lambda x, y: 2.0 / (x * x + 1.0),
    "negative": lambda x, y: -x,
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_between_layers_is_keras_s(name: str) -> None:
    keras.utils.set_random_seed(3)
    source = keras.Input((5, 4, 3))
    y = L.Conv2D(3, 1)(source)
    model = keras.Model(source, ARITHMETIC[name](L.ReLU()(source), y))
    graph = Graph(graph_of(model))
    assert graph.num_foreign == 0
    x = [torch.randn(4, 5, 4, 3)]
    for layer in model.layers:
        layer.trainable = False  # where y is not in the model, nor is its layer
    for ours, keras_s in zip(outcome(graph, x, model), outcome(model, x, model), strict=True):
        torch.testing.assert_close(ours, keras_s, **CLOSE)


# With rates above 0 no entry is the same as in Keras; the layer, and what is dropped together.
DROPPING: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "dropout": (lambda: L.Dropout(0.3), ()),
    "dropout-shape": (lambda: L.Dropout(0.3, noise_shape=(None, 1, 1, 1)), (1, 2, 3)),
    "dropout-channels": (lambda: L.Dropout(0.3, noise_shape=(None, 1, None, 3)), (1,)),
    "spatial": (lambda: L.SpatialDropout2D(0.3), (1, 2)),
    "depth": (lambda: FROM_CONVNEXT.StochasticDepth(0.3), (1, 2, 3)),
}


@pytest.mark.parametrize("name", DROPPING)
def test_what_is_dropped_gets_no_gradient_and_the_rest_is_scaled_up(name: str) -> None:
    torch.manual_seed(6)
    make, together = DROPPING[name]
    twin, x = twin_of(make()), torch.randn(40, 9, 7, 3, requires_grad=True)
    y, slope = twin.train()(x), torch.randn(x.shape)
    (gradient,) = torch.autograd.grad(y, x, slope)
    mask = (y != 0).float()
    assert 0.5 < mask.mean() < 0.9, "about 0.7 of at least 40 decisions"
    torch.testing.assert_close(y, x * mask / 0.7)
    torch.testing.assert_close(gradient, slope * mask / 0.7)
    if together:
        assert torch.equal(mask, mask.amax(dim=together, keepdim=True).expand_as(mask))
    y = twin.eval()(x)
    assert torch.equal(y, x)
    assert torch.equal(torch.autograd.grad(y, x, slope)[0], slope)


def test_every_twin_that_drops_is_compared() -> None:
    made = {type(twin_of(make())) for make, _ in DROPPING.values()}
    assert made == {c for c in classes_of_twins() if c.__module__.endswith(".dropping")}


def test_dropout_keeps_the_stated_share_and_the_mean() -> None:
    twin = twin_of(L.Dropout(0.25)).train()
    y = twin(torch.ones(100_000))
    # The share of zeros has a standard deviation of 0.0014; 5 of them is never by chance.
    assert abs(float((y == 0).float().mean()) - 0.25) < 0.007
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.75])


def test_spatial_dropout_drops_whole_channels() -> None:
    y = twin_of(L.SpatialDropout2D(0.5)).train()(torch.ones(10, 4, 4, 50))
    kept = y.amax(dim=(1, 2))
    assert torch.equal(kept, y.amin(dim=(1, 2)))
    assert set(kept.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(
    "layer",
    [L.Dropout(0.25, noise_shape=(None, 1, 1, 1)), FROM_CONVNEXT.StochasticDepth(0.25)],
)
def test_whole_pictures_are_dropped_and_the_mean_is_kept(layer: Any) -> None:
    twin, x = twin_of(layer), torch.ones(40_000, 2, 2, 1)
    y = twin.train()(x)
    kept = y.amax(dim=(1, 2, 3))
    assert torch.equal(kept, y.amin(dim=(1, 2, 3)))
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    # The share of zeros has a standard deviation of 0.0022; 5 of them is never by chance.
    assert abs(float((kept == 0).float().mean()) - 0.25) < 0.011
    assert torch.equal(twin.eval()(x), x)
