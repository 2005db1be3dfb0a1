"""The ways to run a backbone on this machine, and which is the fastest here.

One frozen network, four runtimes: OpenVINO where it is installed (it multiplies in bfloat16 on AMX
and AVX512-BF16), ONNX Runtime (float32), and Keras itself, which knows every layer. They differ by
five times and more, and not in the same order on every processor, so with enough pictures to do
they run a short race. InceptionV3 at 150 px on 2 cores with AMX, pictures a second: OpenVINO 750 to
900, ONNX Runtime 140. In bfloat16, real features move by some 10 %, and what a linear head makes of
them by nothing measurable (docs/performance.md). Where the numbers matter, as in judging parity,
``SACCADE_PRECISION=float32`` keeps every runtime to float32.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.machine import usable_cores
from saccade.models.backend import engine_name
from saccade.transfer.applications import Backbone

Pixels = npt.NDArray[np.uint8]  # (N, H, W, 3)
Features = npt.NDArray[np.float32]  # (n, D) or (n, h, w, D), of n <= BATCH pictures in their order

BATCH: Final = 32  # pictures; 16 and 64 are within noise of it, 128 is slower
_RACE: Final = 2 * BATCH  # pictures that each runtime does in the race
_WORTH: Final = 16 * BATCH  # with fewer to do, the race costs more than it gains


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A backbone, ready to run."""

    name: str
    format: str  # of products: "float32" or "bf16"
    run: Callable[[Pixels], Iterator[Features]]  # batch by batch

    def __str__(self) -> str:
        return f"{self.name} in {self.format}"


def fastest(backbone: Backbone, pixels: Pixels) -> Runtime:
    """Return the runtime for these pictures: the winner of a race, or, for few, the likely one."""
    found = runtimes(backbone)
    if len(found) == 1 or len(pixels) < _WORTH:
        return found[0]
    sample = np.ascontiguousarray(pixels[:_RACE])
    return min(found, key=lambda runtime: _seconds(runtime, sample))


def runtimes(backbone: Backbone) -> list[Runtime]:
    """Return all that can run a backbone here, the likely fastest first."""
    from saccade.bundle.graph import features_to_onnx
    from saccade.bundle.layers import UnknownLayerError

    try:
        document = features_to_onnx(backbone.model, backbone.input_shape)
    except UnknownLayerError:
        return [_keras(backbone)]
    found = [_onnxruntime(document)]
    if find_spec("openvino") is not None:
        found.insert(0, _openvino(document, backbone))
    return found


def _seconds(runtime: Runtime, sample: Pixels) -> float:
    deque(runtime.run(sample[:BATCH]), maxlen=0)  # the first batch warms it up
    began = time.perf_counter()
    deque(runtime.run(sample), maxlen=0)
    return time.perf_counter() - began


def _batches(pixels: Pixels) -> Iterator[Pixels]:
    for start in range(0, len(pixels), BATCH):
        yield np.ascontiguousarray(pixels[start : start + BATCH])


def number_format() -> str:
    """Return the format that products may have: "bf16" where the processor has it, or "float32"."""
    if engine_name() != "torch":
        return "float32"
    from saccade.training.precision import choose_precision

    return choose_precision("cpu").format


def _openvino(document: bytes, backbone: Backbone) -> Runtime:
    """Return OpenVINO with a batch on each of its streams, so that no core waits for the other."""
    import openvino

    multiplied_in = number_format()
    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "float32": "f32"}[multiplied_in],
        "PERFORMANCE_HINT": "THROUGHPUT",
    }
    model = core.read_model(document, b"")
    model.reshape([BATCH, *backbone.input_shape])  # a fixed number of pictures is faster than any
    compiled = core.compile_model(model, "CPU", settings)
    num_streams = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def run(pixels: Pixels) -> Iterator[Features]:
        idle = [compiled.create_infer_request() for _ in range(num_streams)]
        busy: deque[Any] = deque()
        for batch in _batches(pixels):
            if not idle:
                request, number = busy.popleft()
                yield _finish(request, number)
                idle.append(request)
            request, number = idle.pop(), len(batch)
            request.start_async({0: _filled(batch)})
            busy.append((request, number))
        for request, number in busy:
            yield _finish(request, number)

    return Runtime(name="OpenVINO", format=multiplied_in, run=run)


def _filled(batch: Pixels) -> Pixels:
    """Return BATCH pictures: these, and black ones where they are fewer."""
    missing = [(0, BATCH - len(batch)), (0, 0), (0, 0), (0, 0)]
    return np.pad(batch, missing) if len(batch) < BATCH else batch


def _finish(request: Any, number: int) -> Features:
    """Wait for a request, and return a copy of the features of its first `number` pictures."""
    request.wait()
    return np.array(request.get_output_tensor(0).data[:number], dtype=np.float32)


def _onnxruntime(document: bytes) -> Runtime:
    import onnxruntime

    from saccade.bundle.runtime import INPUT_NAME, session_options

    session = onnxruntime.InferenceSession(
        document, session_options(usable_cores()), providers=["CPUExecutionProvider"]
    )

    def run(pixels: Pixels) -> Iterator[Features]:
        for batch in _batches(pixels):
            (values,) = session.run(None, {INPUT_NAME: batch})
            yield values

    return Runtime(name="ONNX Runtime", format="float32", run=run)


def _keras(backbone: Backbone) -> Runtime:
    def run(pixels: Pixels) -> Iterator[Features]:
        for batch in _batches(pixels):
            values = backbone.model.predict_on_batch(batch.astype(np.float32))
            yield np.asarray(values, dtype=np.float32)

    return Runtime(name="Keras", format="float32", run=run)
