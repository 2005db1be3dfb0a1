"""One whole training run in a process of its own: what each stage costs, as one line of JSON.

    python -m benchmarks.growth_worker ARCHIVE FOLDER SIDE_PX CHANNELS NUM_CLASSES

Trains for one epoch with a network so small that the work around it shows. Prints, for each stage,
`seconds` on the wall, `cpu_seconds` of this process and its finished children, and the most memory
that this process held meanwhile: `peak_mib` all of it, the pages of mapped files included (VmHWM),
`peak_own_mib` without those, which the system can take back at any time (RssAnon, looked at 10
times a second).
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saccade.config import choose_settings
from saccade.progress import Silence
from saccade.recipe.clock import Clock
from saccade.recipe.request import new_request
from saccade.recipe.training import carry_out

_STATUS = Path("/proc/self/status")
_BETWEEN_LOOKS_S = 0.1


class Meter(Clock):
    """A clock that also notes each stage's processor time and memory; needs Linux."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[str, dict[str, float]] = {}
        self._cpu_began = cpu_seconds()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block."""
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to what is held now
        began, cpu_began = time.monotonic(), cpu_seconds()
        with Watch() as watch, super().stage(name):
            yield
        self.taken[name] = {
            "seconds": time.monotonic() - began,
            "cpu_seconds": cpu_seconds() - cpu_began,
            "peak_mib": held_mib("VmHWM"),
            "peak_own_mib": watch.most_mib,
        }

    def between(self) -> dict[str, float]:
        """Return what no stage accounts for."""
        whole = {"seconds": self.elapsed_s, "cpu_seconds": cpu_seconds() - self._cpu_began}
        return {
            name: max(total - sum(stage[name] for stage in self.taken.values()), 0.0)
            for name, total in whole.items()
        }


class Watch:
    """Looks at this process's own memory, again and again, for as long as the block runs."""

    def __init__(self) -> None:
        self.most_mib = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.most_mib = max(self.most_mib, held_mib("RssAnon"))
            if self._ended.wait(_BETWEEN_LOOKS_S):
                return


def held_mib(field: str) -> float:
    """Return a field of this process's status in MiB."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def cpu_seconds() -> float:
    """Return what this process and the children that it has waited for have used."""
    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(who)[:2]) for who in whom)


def network(*, side_px: int, channels: int, num_classes: int) -> Any:
    """Return a network of 16 and 32 maps that takes pictures of this size."""
    from saccade.models.backend import load_keras

    layers = load_keras().layers
    return load_keras().Sequential(
        [
            load_keras().Input((side_px, side_px, channels)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(num_classes),
        ]
    )


def main() -> None:
    archive, folder = Path(sys.argv[1]), Path(sys.argv[2])
    side_px, channels, num_classes = (int(word) for word in sys.argv[3:])
    folder.mkdir(parents=True)
    model = folder / "network.keras"
    network(side_px=side_px, channels=channels, num_classes=num_classes).save(model)
    settings = choose_settings(model=str(model), budget=None, epochs=1, seed=0)
    request = new_request(archive, test=None, settings=settings, name="run", out=folder)
    meter = Meter()
    with contextlib.redirect_stdout(sys.stderr):
        run = carry_out(request, clock=meter, progress=Silence())
    stages = meter.taken | {"between": meter.between()}
    sizes = {path.name: path.stat().st_size for path in run.folder.iterdir()}
    print(json.dumps({"stages": stages, "bytes": sizes}))


if __name__ == "__main__":
    main()
