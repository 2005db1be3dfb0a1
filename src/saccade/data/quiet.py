"""Silence while pictures are decoded: what the libraries print of a damaged one is no news.

    with QUIET:
        image.load()

Whether a picture can be used, and why not, is in the exception and in the flags. Around it Pillow
warns, and logs, which Python prints where nobody has set logging up; and libtiff prints on
standard error itself. Entering again inside costs next to nothing, so that a loop over many
pictures can hold it.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import Final

from PIL import _imaging

_LOGGER: Final = logging.getLogger("PIL")
_HANDLER: Final = logging.NullHandler()  # whoever has set logging up still gets what is logged


class _Quiet:
    """A context manager for any number of threads.

    `warnings.catch_warnings` alone would leave the filters mixed up when two threads overlap, so
    the first one in sets everything and the last one out restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._catcher: warnings.catch_warnings[None] | None = None
        self._tiff_handler: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._catcher is None:
                self._catcher = warnings.catch_warnings()
                self._catcher.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                _LOGGER.addHandler(_HANDLER)
                self._tiff_handler = _tiff_setter()(None)

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._catcher is not None:
                _tiff_setter()(self._tiff_handler)
                _LOGGER.removeHandler(_HANDLER)
                self._catcher.__exit__(None, None, None)
                self._catcher = None


@cache
def _tiff_setter() -> Callable[[int | None], int | None]:
    """Return libtiff's own TIFFSetErrorHandler, which returns the handler that it replaces.

    Pillow silences libtiff's warnings alone and offers no way to its errors; it is reached as a
    symbol of what Pillow's extension is linked with. On Windows that shows no symbols, and what
    libtiff prints stays.
    """
    import ctypes

    try:
        setter = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (AttributeError, OSError):  # no such symbol, or no libtiff at all
        return lambda handler: None
    setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
    set_handler: Callable[[int | None], int | None] = setter
    return set_handler


QUIET: Final = _Quiet()
