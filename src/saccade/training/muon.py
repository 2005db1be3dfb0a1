"""The optimizer of our own family: whole filters are turned, all other weights follow Adam.

A convolution's gradient mostly repeats a few directions, so Adam learns those and leaves the rest.
Muon (Jordan, 2024) replaces the momentum by the nearest matrix with orthonormal filters, which
moves all directions alike. Batch normalisation follows each of our convolutions, so only the
direction of a kernel means anything: its length is held at one a filter, as in Jordan's
airbench94, and a rate is then the same share of a kernel in every network.
"""

from __future__ import annotations

from typing import Any, Final

from saccade.models.backend import load_keras

keras = load_keras()
ops = keras.ops
Tensor = Any

# The quintic whose iteration lifts singular values quickest to about 1 (Jordan, 2024).
QUINTIC: Final = (3.4445, -4.7750, 2.0315)
ROUNDS: Final = 3
EPSILON: Final = 1e-7


class Muon(keras.optimizers.AdamW):  # type: ignore[misc,name-defined]
    """AdamW but for convolution kernels, (height, width, in, out), as the module says.

    A kernel's rate is `kernel_rate` times the learning rate; `momentum` is Nesterov's.
    """

    def __init__(self, *, kernel_rate: float, momentum: float, **options: Any) -> None:
        super().__init__(**options)
        self.kernel_rate, self.momentum = kernel_rate, momentum

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable along its gradient."""
        if not turns(variable):
            super().update_step(gradient, variable, learning_rate)
            return
        mean = self._momentums[self._get_variable_index(variable)]
        self.assign(mean, mean * self.momentum + gradient)
        direction = orthogonal(filters(gradient + mean * self.momentum))
        kernel = filters(ops.convert_to_tensor(variable))
        kernel = kernel * (kernel.shape[0] ** 0.5 / (ops.norm(kernel) + EPSILON))
        kernel = kernel - direction * (learning_rate * self.kernel_rate * stretch(kernel))
        self.assign(variable, ops.reshape(ops.transpose(kernel), variable.shape))


def turns(variable: Any) -> bool:
    """Return whether a variable is a convolution's kernel."""
    return len(variable.shape) == 4


def filters(kernel: Tensor) -> Tensor:
    """Return (height, width, in, out) as a matrix with one filter a row."""
    return ops.transpose(ops.reshape(kernel, (-1, kernel.shape[-1])))


def stretch(kernel: Tensor) -> float:
    """Return what makes up for filters that outnumber their inputs, and so cannot all be new."""
    rows, columns = kernel.shape
    return float(max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors, and singular values of about 1."""
    a, b, c = QUINTIC
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else ops.transpose(matrix)
    x = x / (ops.norm(x) + EPSILON)
    for _ in range(ROUNDS):
        square = x @ ops.transpose(x)
        x = a * x + (b * square + c * (square @ square)) @ x
    return x if wide else ops.transpose(x)
