"""The bundle: one file, ``model.saccade``, that holds a classifier and all that is known of it.

See ``docs/bundle.md``. Reading imports neither keras nor torch; only `write_bundle` does.
"""

from typing import TYPE_CHECKING

from saccade.lazy import lazy_names

if TYPE_CHECKING:
    from saccade.bundle.manifest import Manifest
    from saccade.bundle.read import Bundle, read_bundle
    from saccade.bundle.record import record_evaluation
    from saccade.bundle.runtime import Outputs, Runtime
    from saccade.bundle.write import write_bundle

_HOME = {
    "Bundle": "read",
    "Manifest": "manifest",
    "Outputs": "runtime",
    "Runtime": "runtime",
    "read_bundle": "read",
    "record_evaluation": "record",
    "write_bundle": "write",
}

__all__ = [
    "Bundle",
    "Manifest",
    "Outputs",
    "Runtime",
    "read_bundle",
    "record_evaluation",
    "write_bundle",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
