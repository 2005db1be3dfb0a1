"""Transfer: what a network trained on other pictures sees in ours, computed once and kept.

Names load on first use, since they bring Keras with them.
"""

from typing import TYPE_CHECKING

from saccade.lazy import lazy_names

if TYPE_CHECKING:
    from saccade.transfer.applications import Backbone, backbone
    from saccade.transfer.store import features, kept_features

_HOME = {
    "Backbone": "applications",
    "backbone": "applications",
    "features": "store",
    "kept_features": "store",
}

__all__ = ["Backbone", "backbone", "features", "kept_features"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
