"""Transfer: what a network trained on other pictures sees in ours, computed once and kept.

Names load on first use, since they bring Keras with them.
"""

from typing import TYPE_CHECKING

from saccade.lazy import lazy_names

if TYPE_CHECKING:
    from saccade.transfer.applications import Backbone, backbone
    from saccade.transfer.head import fine_tune, head_mistakes, train_head, with_head
    from saccade.transfer.store import features, kept_features

_HOME = {
    "Backbone": "applications",
    "backbone": "applications",
    "features": "store",
    "fine_tune": "head",
    "head_mistakes": "head",
    "kept_features": "store",
    "train_head": "head",
    "with_head": "head",
}

__all__ = [
    "Backbone",
    "backbone",
    "features",
    "fine_tune",
    "head_mistakes",
    "kept_features",
    "train_head",
    "with_head",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
