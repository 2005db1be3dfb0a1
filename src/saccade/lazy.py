"""Packages whose names are imported when first used (PEP 562), so that nothing heavy loads.

__getattr__, __dir__ = lazy_names(__name__, {"fit": "fitting", "user": "folder:user_cache"})
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, home: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and ``__dir__``.

    `home` says in which of the package's modules each public name lives, as ``"module"``, or as
    ``"module:name"`` where it has another name there.
    """

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = home[name].partition(":")
        return getattr(import_module(f"{package}.{module}"), attribute or name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return get, names
