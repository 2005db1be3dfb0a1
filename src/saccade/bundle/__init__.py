"""The bundle: one file, ``model.saccade``, that holds a classifier and all that is known of it.

See ``docs/bundle.md``. Reading imports neither keras nor torch; only `write_bundle` does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saccade.bundle.manifest import Manifest
    from saccade.bundle.read import Bundle, read_bundle
    from saccade.bundle.record import record_evaluation
    from saccade.bundle.runtime import Runtime
    from saccade.bundle.write import write_bundle

_HOME = {
    "Bundle": "saccade.bundle.read",
    "Manifest": "saccade.bundle.manifest",
    "Runtime": "saccade.bundle.runtime",
    "read_bundle": "saccade.bundle.read",
    "record_evaluation": "saccade.bundle.record",
    "write_bundle": "saccade.bundle.write",
}

__all__ = ["Bundle", "Manifest", "Runtime", "read_bundle", "record_evaluation", "write_bundle"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'saccade.bundle' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
