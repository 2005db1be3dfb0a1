"""The folder that holds caches: where it is, what is in it, and how it is emptied.

    <user cache, or $SACCADE_CACHE>/pixels/<key>/   pixels.npy, digests.npy, cache.json,
                                                    features-<digest>.npy of frozen networks,
                                                    copies-<digest>.npz of the search for copies
                                   /.tmp-<key>/     being built, or left by a process that died
                                   /.<key>.lock     held by the process that builds <key>
                                   compiled/        our kernels, and steps that PyTorch compiled
                                   datasets/        downloaded sets, which are never cleared: their
                                                    place on the net may be gone

A folder's name is its key, 64 hexadecimal digits, and its cache.json names the same key: only such
folders, and temporary ones of that form, are ever deleted. Lock files are empty and stay, because
deleting one that another process waits for would let two in.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from saccade.errors import MissingExtraError, SettingsError
from saccade.files import TEMPORARY, cannot_write

CACHE_VERSION: Final = 1
_KEY: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One finished cache of pixels."""

    key: str  # 64 hexadecimal digits
    name: str  # the source's, such as "photos"
    bytes: int
    created: str  # ISO 8601, UTC
    num_pictures: int
    shape: tuple[int, int, int]  # of a picture: (H, W, C)
    folder: Path


def user_cache() -> Path:
    """Return Saccade's folder in the user's cache, or $SACCADE_CACHE; it may not exist yet."""
    chosen = os.environ.get("SACCADE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("saccade", appauthor=False)


def pixels_folder() -> Path:
    """Return the folder that holds the caches."""
    return user_cache() / "pixels"


def compiled_folder() -> Path:
    """Return the folder that holds compiled steps; it may not exist."""
    return user_cache() / "compiled"


def cannot_keep(place: Path, error: OSError) -> SettingsError:
    """Return the one-line error for a place in the cache that cannot be written."""
    return cannot_write(place, error, chosen_by="SACCADE_CACHE")


def list_caches() -> tuple[CacheEntry, ...]:
    """Return the finished caches, newest first."""
    found = (_entry(folder) for folder in _folders(""))
    return tuple(
        sorted((e for e in found if e is not None), key=lambda e: (e.created, e.key), reverse=True)
    )


def clear_caches() -> int:
    """Delete the caches that nobody is building, whole or left half-built; return bytes freed."""
    freed = 0
    for folder in (*_folders(""), *_folders(TEMPORARY)):
        if folder.name.startswith(TEMPORARY) or _entry(folder) is not None:
            freed += _delete_unless_built(folder)
    return freed


def compiled_bytes() -> int:
    """Return what the compiled steps take."""
    return sum(path.lstat().st_size for path in compiled_folder().rglob("*") if path.is_file())


def clear_compiled() -> int:
    """Delete the compiled steps; return bytes freed. A run that needs one compiles it again."""
    before = compiled_bytes()
    shutil.rmtree(compiled_folder(), ignore_errors=True)
    return before - compiled_bytes()


def delete_left_overs() -> None:
    """Delete what processes that died left half-built."""
    for folder in _folders(TEMPORARY):
        _delete_unless_built(folder)


@contextmanager
def building(key: str, *, shared: bool = True) -> Iterator[Path]:
    """Hold the lock on `key`, and yield an empty temporary folder for `publish` to make visible.

    Waits while another process holds the lock. Whatever happens, the temporary folder is gone
    afterwards, and with it the lock's file where the key is not `shared` with other processes.
    Raises SettingsError where the place cannot be written.
    """
    root = pixels_folder()
    temporary = root / f"{TEMPORARY}{key}"
    with ExitStack() as stack:
        if not shared:
            stack.callback((root / f".{key}.lock").unlink, missing_ok=True)
        try:
            root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_lock(key, blocking=True))
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
        except OSError as error:
            raise cannot_keep(root, error) from error
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        yield temporary


def publish(temporary: Path) -> Path:
    """Make a built cache visible in one step, instead of a damaged one if need be."""
    final = temporary.with_name(temporary.name.removeprefix(TEMPORARY))
    shutil.rmtree(final, ignore_errors=True)
    return temporary.rename(final)


def read_description(folder: Path) -> dict[str, Any] | None:
    """Return a cache's cache.json, or None where it is absent, damaged, or of another version."""
    try:
        document = json.loads((folder / "cache.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("version") != CACHE_VERSION:
        return None
    shape = document.get("shape")
    holds = (
        document.get("key") == folder.name
        and all(isinstance(document.get(name), str) for name in ("name", "created"))
        and type(document.get("num_pictures")) is int
        and isinstance(shape, list)
        and [type(length) for length in shape] == [int] * 4
    )
    return document if holds else None


def is_being_built(key: str) -> bool:
    """Say whether another process holds the lock on `key` just now."""
    with _lock(key, blocking=False) as free:
        return not free


def _folders(prefix: str) -> list[Path]:
    try:
        found = sorted(pixels_folder().iterdir())
    except OSError:
        return []
    return [
        path
        for path in found
        if path.name.startswith(prefix)
        and _KEY.fullmatch(path.name.removeprefix(prefix))
        and path.is_dir()
        and not path.is_symlink()
    ]


def _entry(folder: Path) -> CacheEntry | None:
    document = read_description(folder)
    if document is None:
        return None
    height, width, channels = document["shape"][1:]
    return CacheEntry(
        key=folder.name,
        name=document["name"],
        bytes=_size_of(folder),
        created=document["created"],
        num_pictures=document["num_pictures"],
        shape=(height, width, channels),
        folder=folder,
    )


def _size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.iterdir())


def _delete_unless_built(folder: Path) -> int:
    with _lock(folder.name.removeprefix(TEMPORARY), blocking=False) as free:
        if not free or not folder.exists():
            return 0
        size = _size_of(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return 0 if folder.exists() else size


@contextmanager
def _lock(key: str, *, blocking: bool) -> Iterator[bool]:
    """Hold the lock on `key` among processes; without `blocking`, yield whether it was free."""
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise MissingExtraError(needed_for="a cache of pixels", extra="train") from None
    lock = FileLock(pixels_folder() / f".{key}.lock", timeout=-1 if blocking else 0)
    try:
        held: AbstractContextManager[Any] = lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise cannot_keep(pixels_folder(), error) from error
    with held:
        yield True
