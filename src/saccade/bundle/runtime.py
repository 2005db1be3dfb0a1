"""Running a bundle's ONNX document: the one way from pixels to probabilities.

Prediction, evaluation and the parity gate at writing time all use `Runtime`. A document is looked
through before ONNX Runtime sees it (`saccade.bundle.protobuf`), since it may come from a stranger.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from saccade.bundle.protobuf import check_document
from saccade.errors import BundleError
from saccade.machine import usable_cores

INPUT_NAME: Final = "pixels"
OUTPUT_NAME: Final = "probabilities"
UNUSUALNESS_NAME: Final = "unusualness"

# Pixels in one call of ONNX Runtime: keeps the feature maps of a wide network in some 100 MiB.
_PIXELS_A_CALL: Final = 2**19
_IMAGES_A_CALL: Final = 256

# ONNX Runtime's errors share no base class of their own.
_ERRORS: Final = (
    states.EPFail,
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NoSuchFile,
    states.NotImplemented,
    states.RuntimeException,
    RuntimeError,
    MemoryError,
    ValueError,  # a message or a name in the document that is no UTF-8
)


class Outputs(NamedTuple):
    """What a document says of N pictures."""

    probabilities: npt.NDArray[np.float32]  # (N, C), calibrated
    unusualness: npt.NDArray[np.float32] | None  # (N,), above 1 is unknown; None without a score


@final
class Runtime:
    """An ONNX document, ready to run; it may be called from several threads.

    One call uses all cores, which answers soonest; with `one_core` it uses its caller's alone,
    which is best where as many callers as there are cores decode pictures meanwhile.
    Raises BundleError where the document is not what a bundle holds, or cannot be run.
    """

    def __init__(
        self,
        document: bytes,
        *,
        input_shape: tuple[int, int, int],
        num_classes: int,
        has_unusualness: bool = False,
        one_core: bool = False,
    ) -> None:
        check_document(document)
        try:
            self._session = onnxruntime.InferenceSession(
                document,
                session_options(1 if one_core else usable_cores()),
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # which would print, and try the same again
            )
            self._names = _check_signature(self._session, input_shape, num_classes, has_unusualness)
        except _ERRORS as error:
            raise BundleError(f"model.onnx cannot be run: {_one_line(error)}") from error
        self._input_shape = input_shape
        self._num_classes = num_classes
        self.batch_size = max(1, min(_IMAGES_A_CALL, _PIXELS_A_CALL // np.prod(input_shape[:2])))

    def probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (N, C) calibrated probabilities for (N, H, W, C) uint8 pixels."""
        return self.run(pixels).probabilities

    def run(self, pixels: npt.NDArray[np.uint8]) -> Outputs:
        """Return all that the document says of (N, H, W, C) uint8 pixels."""
        shapes = [(self._num_classes,), ()][: len(self._names)]
        results = [np.empty((len(pixels), *shape), dtype=np.float32) for shape in shapes]
        for start in range(0, len(pixels), self.batch_size):
            batch = np.ascontiguousarray(pixels[start : start + self.batch_size])
            for result, rows in zip(results, self._run(batch), strict=True):
                if rows.shape != (len(batch), *result.shape[1:]):
                    raise BundleError(f"model.onnx gave {rows.shape} for {len(batch)} pictures")
                result[start : start + self.batch_size] = rows
        return Outputs(results[0], results[1] if len(results) > 1 else None)

    def _run(self, batch: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        try:
            rows: list[npt.NDArray[np.float32]] = self._session.run(
                self._names, {INPUT_NAME: batch}
            )
        except _ERRORS as error:
            raise BundleError(f"model.onnx cannot be run: {_one_line(error)}") from error
        return rows


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return how ONNX Runtime shall run here: quietly, repeatably, on that many cores."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal only: what goes wrong comes as an exception
    # Said outright, so that ONNX Runtime neither counts the whole machine's cores in a container
    # nor pins its threads to them.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    return options


def _check_signature(
    session: onnxruntime.InferenceSession,
    input_shape: tuple[int, int, int],
    num_classes: int,
    has_unusualness: bool,
) -> list[str]:
    """Return the names of the outputs, once they are what the manifest says."""
    inputs = [(value.name, value.type, *value.shape[1:]) for value in session.get_inputs()]
    outputs = [(value.name, value.type, *value.shape[1:]) for value in session.get_outputs()]
    wanted_inputs = [(INPUT_NAME, "tensor(uint8)", *input_shape)]
    wanted_outputs: list[tuple[str | int, ...]] = [(OUTPUT_NAME, "tensor(float)", num_classes)]
    if has_unusualness:
        wanted_outputs.append((UNUSUALNESS_NAME, "tensor(float)"))
    if inputs != wanted_inputs or outputs != wanted_outputs:
        raise BundleError(
            f"model.onnx takes {inputs} and gives {outputs}; "
            f"the manifest says {wanted_inputs} and {wanted_outputs}"
        )
    if any(isinstance(value.shape[0], int) for value in session.get_inputs()):
        raise BundleError("model.onnx takes a fixed number of pictures, not any number")
    return [name for name, *_ in outputs]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
