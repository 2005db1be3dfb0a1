"""Running a bundle's ONNX document: the one way from pixels to probabilities.

Prediction, evaluation and the parity gate at writing time all use `Runtime`. A document is looked
through before ONNX Runtime sees it (`saccade.bundle.protobuf`), since it may come from a stranger.
"""

from __future__ import annotations

import os
from typing import Final, final

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from saccade.bundle.protobuf import check_document
from saccade.errors import BundleError

INPUT_NAME: Final = "pixels"
OUTPUT_NAME: Final = "probabilities"

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


@final
class Runtime:
    """An ONNX document, ready to run; `probabilities` may be called from several threads.

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
        one_core: bool = False,
    ) -> None:
        check_document(document)
        try:
            self._session = onnxruntime.InferenceSession(
                document,
                session_options(1 if one_core else num_threads()),
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # which would print, and try the same again
            )
            _check_signature(self._session, input_shape, num_classes)
        except _ERRORS as error:
            raise BundleError(f"model.onnx cannot be run: {_one_line(error)}") from error
        self._input_shape = input_shape
        self._num_classes = num_classes
        self.batch_size = max(1, min(_IMAGES_A_CALL, _PIXELS_A_CALL // np.prod(input_shape[:2])))

    def probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (N, C) calibrated probabilities for (N, H, W, C) uint8 pixels."""
        result = np.empty((len(pixels), self._num_classes), dtype=np.float32)
        for start in range(0, len(pixels), self.batch_size):
            batch = np.ascontiguousarray(pixels[start : start + self.batch_size])
            result[start : start + self.batch_size] = self._run(batch)
        return result

    def _run(self, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        try:
            (rows,) = self._session.run([OUTPUT_NAME], {INPUT_NAME: batch})
        except _ERRORS as error:
            raise BundleError(f"model.onnx cannot be run: {_one_line(error)}") from error
        if rows.shape != (len(batch), self._num_classes):
            raise BundleError(f"model.onnx gave {rows.shape} for {len(batch)} pictures")
        probabilities: npt.NDArray[np.float32] = rows
        return probabilities


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


def num_threads() -> int:
    """Return how many cores this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _check_signature(
    session: onnxruntime.InferenceSession, input_shape: tuple[int, int, int], num_classes: int
) -> None:
    inputs = [(value.name, value.type, *value.shape[1:]) for value in session.get_inputs()]
    outputs = [(value.name, value.type, *value.shape[1:]) for value in session.get_outputs()]
    wanted_inputs = [(INPUT_NAME, "tensor(uint8)", *input_shape)]
    wanted_outputs = [(OUTPUT_NAME, "tensor(float)", num_classes)]
    if inputs != wanted_inputs or outputs != wanted_outputs:
        raise BundleError(
            f"model.onnx takes {inputs} and gives {outputs}; "
            f"the manifest says {wanted_inputs} and {wanted_outputs}"
        )
    if any(isinstance(value.shape[0], int) for value in session.get_inputs()):
        raise BundleError("model.onnx takes a fixed number of pictures, not any number")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
