"""Keras's optimisers as a few PyTorch calls over all weights at once.

The common ones are written out to Keras's formula; with Keras's own slots (momenta and the like),
so that training goes on with plain Keras afterwards. Every other optimiser, and every option beyond
learning rate and weight decay, is Keras's own `apply`: the same numbers, a little slower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from saccade.errors import SettingsError
from saccade.models.backend import load_keras
from saccade.training.kernels import steps as kernels
from saccade.training.layerwise import LayerwiseAdamW
from saccade.training.muon import EPSILON, QUINTIC, ROUNDS, Muon, stretch, turns
from saccade.training.precision import Format

keras = load_keras()
Tensor = Any  # torch has no type information here
Rule = Callable[[list[Tensor], list[Tensor], float, int], None]  # (weights, gradients, rate, step)
Places = Mapping[int, int]  # from a weight's place among those trained to that of its slots


class Update:
    """Moves a model's trainable variables along their gradients, as `optimizer` says.

    `step` counts updates from 1; the optimizer's own count follows on `write_back`, and its slots
    are used in place. The variables may be some of those that the optimizer was built for.
    `products` is the format in which Muon multiplies, nothing else: what it makes is only nearly
    orthogonal in any format.

    Raises SettingsError where the optimizer was built for other variables.
    """

    def __init__(
        self, optimizer: Any, variables: Sequence[Any], products: Format = "float32"
    ) -> None:
        if not optimizer.built:
            optimizer.build(list(variables))
        self.optimizer = optimizer
        self._variables = list(variables)
        self.weights = [variable.value for variable in variables]
        self.num_updates = int(optimizer._iterations.value)
        places = _places(optimizer, self._variables)
        self._rule = _rule_of(optimizer, self._variables, places, products)
        decayed = [i for i, v in enumerate(self._variables) if _decays(optimizer, v)]
        shares = _shares(optimizer, places)
        self._decayed = [self.weights[i] for i in decayed] if optimizer.weight_decay else []
        self._rate = _Number()
        self._decayed_by = [shares[i] * (optimizer.weight_decay or 0.0) for i in decayed]

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss whose gradients `apply` wants: some optimizers divide them again."""
        return self.optimizer.scale_loss(loss)

    def apply(self, gradients: Sequence[Tensor | None], rate: float | None) -> None:
        """Take one step along the gradients of the weights, None where there is none.

        Raises TypeError where a `rate` is given and the optimizer is by Keras and has a schedule.
        """
        found = [g.contiguous() for g in gradients if g is not None]
        with torch.no_grad():
            # A weight without a gradient stays as it is, without decay too: Keras sees to that.
            if self._rule is None or len(found) < len(gradients):
                self._apply_by_keras(gradients, rate)
            else:
                self._apply_rule(self._rule, found, self._learning_rate() if rate is None else rate)

    def _learning_rate(self) -> float:
        rate = self.optimizer._learning_rate
        if isinstance(rate, keras.Variable):
            return self._rate.read(rate.value)
        if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            return float(rate())
        if not type(rate).__module__.startswith("keras."):
            self.write_back()
            return float(rate(self.optimizer._iterations))  # a variable, as Keras gives it
        with keras.device("cpu"):  # where nobody waits for a card to say it
            return float(rate(self.num_updates))

    def _apply_rule(self, rule: Rule, gradients: list[Tensor], rate: float) -> None:
        if self._decayed:
            torch._foreach_mul_(self._decayed, [1.0 - share * rate for share in self._decayed_by])
        rule(self.weights, gradients, rate, self.num_updates + 1)
        self.num_updates += 1

    def _apply_by_keras(self, gradients: Sequence[Tensor | None], rate: float | None) -> None:
        if rate is not None:
            self.optimizer.learning_rate = rate
        self.write_back()
        self.optimizer.apply(list(gradients), self._variables)
        self.num_updates = int(self.optimizer._iterations.value)  # one that wraps another has none

    def write_back(self) -> None:
        """Tell the optimizer how many updates there were."""
        self.optimizer._iterations.assign(self.num_updates)

    def slots(self) -> list[Tensor]:
        """Return the optimizer's variables but for its count."""
        return [variable.value for variable in self.optimizer.variables[1:]]


class _Number:
    """A number in a tensor: on a card, where to read it waits, only after it was changed.

    A change through ``.data`` is one that PyTorch does not count, so on a card it is not seen.
    """

    def __init__(self) -> None:
        self._read: tuple[Tensor, int] | None = None
        self._value = 0.0

    def read(self, tensor: Tensor) -> float:
        """Return the number that the tensor holds."""
        if tensor.device.type != "cuda" or tensor.is_inference():  # which counts no changes
            return float(tensor)
        if self._read is None or self._read[0] is not tensor or self._read[1] != tensor._version:
            self._value, self._read = float(tensor), (tensor, tensor._version)
        return self._value


def _places(optimizer: Any, variables: list[Any]) -> Places:
    """Return where the optimizer keeps the slots of each variable.

    Whoever freezes a layer after compiling has fewer variables than slots.
    """
    known = {id(variable): place for place, variable in enumerate(optimizer._trainable_variables)}
    unknown = [variable.path for variable in variables if id(variable) not in known]
    if unknown:
        others = f" and {len(unknown) - 1} more" if unknown[1:] else ""
        raise SettingsError(
            f"the optimizer {optimizer.name} was made for other weights, without {unknown[0]}"
            f"{others}; an optimizer serves one model, and the layers that were trainable at its "
            "first step: compile the model again, with a new optimizer"
        )
    return {place: known[id(variable)] for place, variable in enumerate(variables)}


def _slots(variables: Sequence[Any], places: Places) -> list[Tensor]:
    """Return the tensors that belong to the weights, in the weights' order."""
    if places and not variables:
        raise SettingsError(
            "the optimizer was made without momentum, and has none to go on from: compile the "
            "model again, with the momentum given from the start"
        )
    return [variables[place].value for place in places.values()]


def _decays(optimizer: Any, variable: Any) -> bool:
    """Whether a weight decays; a kernel whose length Muon holds need not."""
    held = isinstance(optimizer, Muon) and turns(variable)
    return bool(optimizer._use_weight_decay(variable)) and not held


def _shares(optimizer: Any, places: Places) -> Sequence[float]:
    """Return for each weight what share of the rate it learns and decays at."""
    layerwise = isinstance(optimizer, LayerwiseAdamW)
    return [optimizer.shares[place] if layerwise else 1.0 for place in places.values()]


def _rule_of(optimizer: Any, variables: list[Any], places: Places, products: Format) -> Rule | None:
    """Return the rule of an optimizer that uses no option beyond those written out here."""
    options = (
        optimizer.clipnorm,
        optimizer.clipvalue,
        optimizer.global_clipnorm,
        optimizer.loss_scale_factor,
        optimizer.gradient_accumulation_steps,
    )
    special = any(option is not None for option in options) or optimizer.use_ema
    constrained = any(variable.constraint is not None for variable in variables)
    if special or constrained or any(variable.dtype != "float32" for variable in variables):
        return None
    if isinstance(optimizer, Muon):
        return _muon(optimizer, variables, places, products)
    if isinstance(optimizer, LayerwiseAdamW):
        return _layerwise(optimizer, places)
    if isinstance(optimizer, keras.optimizers.Adam) and not optimizer.amsgrad:
        return _adam(optimizer, places) if _name(optimizer) in ("Adam", "AdamW") else None
    if _name(optimizer) == "SGD":
        return _sgd(optimizer, places)
    if _name(optimizer) == "RMSprop" and not optimizer.centered:
        return _rmsprop(optimizer, places)
    return None


def _name(optimizer: Any) -> str:
    """Return the class's name where it is Keras's own, else nothing."""
    kind = type(optimizer)
    return kind.__name__ if kind.__module__.startswith("keras.") else ""


def _adam(optimizer: Any, places: Places, share: float = 1.0) -> Rule:
    """The rule for the variables that have a place, at a share of the rate.

    Keras adds ε to the uncorrected √v, PyTorch's kernel to the corrected one: hence the scale.

    Kingma & Ba 2015, in the form before their section 2.1.
    """
    chosen = list(places)
    means, squares = _slots(optimizer._momentums, places), _slots(optimizer._velocities, places)
    beta_1, beta_2, epsilon = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
    count = torch.zeros((), dtype=torch.float32, device=means[0].device)
    counts = [count] * len(means)

    def rule(weights: list[Tensor], gradients: list[Tensor], rate: float, step: int) -> None:
        count.fill_(step)
        torch._fused_adam_(
            [weights[i] for i in chosen],
            [gradients[i] for i in chosen],
            means,
            squares,
            [],
            counts,
            lr=rate * share,
            beta1=beta_1,
            beta2=beta_2,
            weight_decay=0.0,
            eps=epsilon / math.sqrt(1.0 - beta_2**step),
            amsgrad=False,
            maximize=False,
        )

    return rule


def _layerwise(optimizer: LayerwiseAdamW, places: Places) -> Rule:
    """Adam's rule for each share of the rate."""
    chosen: dict[float, dict[int, int]] = {}
    for i, place in places.items():
        chosen.setdefault(optimizer.shares[place], {})[i] = place
    rules = [_adam(optimizer, alike, share) for share, alike in chosen.items()]

    def rule(weights: list[Tensor], gradients: list[Tensor], rate: float, step: int) -> None:
        for each in rules:
            each(weights, gradients, rate, step)

    return rule


def _muon(optimizer: Muon, variables: list[Any], places: Places, products: Format) -> Rule:
    """`Muon.update_step` for all kernels, Adam for the rest."""
    turned = [i for i, variable in enumerate(variables) if turns(variable)]
    rest = _adam(optimizer, {i: place for i, place in places.items() if i not in turned})
    means = _slots(optimizer._momentums, places)
    momentum = optimizer.momentum
    kind = torch.bfloat16 if products == "bf16" else torch.float32
    quick = kernels.Muon(momentum, QUINTIC, ROUNDS, EPSILON)

    def rule(weights: list[Tensor], gradients: list[Tensor], rate: float, step: int) -> None:
        rest(weights, gradients, rate, step)
        for i in turned:
            kernel_rate = rate * optimizer.kernel_rate * stretch(weights[i].flatten(0, 2).t())
            if products == "bf16" and kernels.turns_fit((weights[i], gradients[i])):
                quick.move(weights[i], gradients[i], means[i], kernel_rate)
                continue
            means[i].mul_(momentum).add_(gradients[i])
            kernel = weights[i].flatten(0, 2)  # a view: one filter a column
            ahead = torch.add(gradients[i], means[i], alpha=momentum).flatten(0, 2).t()
            kernel.mul_(kernel.shape[1] ** 0.5 / (kernel.norm() + EPSILON))
            kernel.sub_(_orthogonal(ahead, kind).t(), alpha=kernel_rate)

    return rule


def _orthogonal(matrix: Tensor, kind: Any) -> Tensor:
    """`muon.orthogonal`, without what Keras does around every operation."""
    a, b, c = QUINTIC
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.t()
    x = (x / (x.norm() + EPSILON)).to(kind)
    for _ in range(ROUNDS):
        square = x @ x.t()
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x if wide else x.t()


def _sgd(optimizer: Any, places: Places) -> Rule:
    momentum, nesterov = optimizer.momentum, optimizer.nesterov
    momenta = _slots(optimizer.momentums, places) if momentum else []

    def rule(weights: list[Tensor], gradients: list[Tensor], rate: float, step: int) -> None:
        if not momentum:
            torch._foreach_add_(weights, gradients, alpha=-rate)
            return
        torch._foreach_mul_(momenta, momentum)
        torch._foreach_add_(momenta, gradients, alpha=-rate)
        if nesterov:
            torch._foreach_add_(weights, gradients, alpha=-rate)
        torch._foreach_add_(weights, momenta, alpha=momentum if nesterov else 1.0)

    return rule


def _rmsprop(optimizer: Any, places: Places) -> Rule:
    squares = _slots(optimizer._velocities, places)
    rho, momentum, epsilon = optimizer.rho, optimizer.momentum, optimizer.epsilon
    quick = kernels.RMSprop(rho, momentum, epsilon)
    momenta = _slots(optimizer._momentums, places) if momentum else []
    means = momenta or [None] * len(squares)

    def rule(weights: list[Tensor], gradients: list[Tensor], rate: float, step: int) -> None:
        if kernels.steps_fit((*weights, *gradients)):
            for each in zip(weights, gradients, squares, means, strict=True):
                quick.move(*each, rate)
            return
        torch._foreach_mul_(squares, rho)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1.0 - rho)
        roots = torch._foreach_sqrt(torch._foreach_add(squares, epsilon))
        if not momentum:
            torch._foreach_addcdiv_(weights, gradients, roots, value=-rate)
            return
        torch._foreach_mul_(momenta, momentum)
        torch._foreach_addcdiv_(momenta, gradients, roots, value=rate)
        torch._foreach_sub_(weights, momenta)

    return rule
