"""Data: sources, the index of their pictures, the split and the cache of pixels.

Each name is imported when it is first used, so that prediction loads the decoder alone.
"""

from typing import TYPE_CHECKING

from saccade.lazy import lazy_names

if TYPE_CHECKING:
    from saccade.data.ahead import Ahead
    from saccade.data.cache import Cache, build_cache
    from saccade.data.cachefolder import CacheEntry, clear_caches, list_caches
    from saccade.data.cachefolder import user_cache as cache_folder
    from saccade.data.exclusion import excluded, exclusion_note
    from saccade.data.grouping import ALONE, check_pattern, group_rows
    from saccade.data.index import UNASSIGNED, Index, read_index, write_index
    from saccade.data.kin import Kin
    from saccade.data.labelsets import LabelSets, readable_set, written
    from saccade.data.named import named_sets
    from saccade.data.opening import open_source
    from saccade.data.picture import Facts, Preprocessing, inspect
    from saccade.data.raster import Payload, Pixels
    from saccade.data.scan import build_index
    from saccade.data.series import numbered_series, resemblance, runs_of, sampled_series
    from saccade.data.source import Entry, Source
    from saccade.data.split import (
        TEST_SHARE,
        deal_folds,
        dealt_units,
        fold_apart,
        open_rows,
        split_index,
        validation_share,
    )
    from saccade.data.strata import by_strata
    from saccade.data.workers import Workers

# Public name: where it lives, and its name there where that differs.
_HOME = {
    "ALONE": "grouping",
    "Ahead": "ahead",
    "Cache": "cache",
    "CacheEntry": "cachefolder",
    "Entry": "source",
    "Facts": "picture",
    "Index": "index",
    "Kin": "kin",
    "LabelSets": "labelsets",
    "Payload": "raster",
    "Pixels": "raster",
    "Preprocessing": "picture",
    "Source": "source",
    "TEST_SHARE": "split",
    "UNASSIGNED": "index",
    "Workers": "workers",
    "build_cache": "cache",
    "build_index": "scan",
    "by_strata": "strata",
    "cache_folder": "cachefolder:user_cache",
    "check_pattern": "grouping",
    "clear_caches": "cachefolder",
    "deal_folds": "split",
    "dealt_units": "split",
    "excluded": "exclusion",
    "exclusion_note": "exclusion",
    "fold_apart": "split",
    "group_rows": "grouping",
    "inspect": "picture",
    "list_caches": "cachefolder",
    "named_sets": "named",
    "numbered_series": "series",
    "open_rows": "split",
    "open_source": "opening",
    "read_index": "index",
    "readable_set": "labelsets",
    "resemblance": "series",
    "runs_of": "series",
    "sampled_series": "series",
    "split_index": "split",
    "validation_share": "split",
    "write_index": "index",
    "written": "labelsets",
}

__all__ = [
    "ALONE",
    "TEST_SHARE",
    "UNASSIGNED",
    "Ahead",
    "Cache",
    "CacheEntry",
    "Entry",
    "Facts",
    "Index",
    "Kin",
    "LabelSets",
    "Payload",
    "Pixels",
    "Preprocessing",
    "Source",
    "Workers",
    "build_cache",
    "build_index",
    "by_strata",
    "cache_folder",
    "check_pattern",
    "clear_caches",
    "deal_folds",
    "dealt_units",
    "excluded",
    "exclusion_note",
    "fold_apart",
    "group_rows",
    "inspect",
    "list_caches",
    "named_sets",
    "numbered_series",
    "open_rows",
    "open_source",
    "read_index",
    "readable_set",
    "resemblance",
    "runs_of",
    "sampled_series",
    "split_index",
    "validation_share",
    "write_index",
    "written",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
