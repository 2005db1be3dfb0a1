"""Class folders: what a picture's path says about its label and its part.

    photos/cat/1.jpg                    label "cat"
    photos/train/cat/1.jpg              label "cat", part "train"
    photos/cats_vs_dogs/train/cat/1.jpg the same; a single wrapping folder is looked through
    photos/cat/2020/may/1.jpg           label "cat": folders below a class folder are the class

Rules, where a path could be read in two ways:

* A folder is a wrapper when it holds every picture that lies in a folder, and at least half of
  them lie two folders deeper. So one class whose pictures all lie in subfolders is read as a
  wrapper around classes.
* Folders named train, val, validation, valid or test (any case) are parts when one of them holds
  mostly pictures that lie a folder deeper, and no other folder stands beside them, or two parts
  are there. So a class called "train" beside a class called "car" stays a class.
* Pictures beside the class folders, or beside the parts, are left out and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saccade.data.source import (
    Entry,
    class_name,
    is_clutter,
    is_picture_name,
    not_a_picture,
    part_of,
    printable,
)
from saccade.errors import DataError
from saccade.types import Part

MAX_DEPTH = 64  # folders within folders; deeper ones are never a data set's design

TOO_DEEP = f"folders nested more than {MAX_DEPTH} deep are not read"
NO_CLASS_FOLDER = "lies in no class folder"
OUTSIDE_PARTS = "lies beside train and test, in no part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """The entries, sorted by path; `origin[i]` is the position of entry i in what was given."""

    entries: tuple[Entry, ...]
    origin: tuple[int, ...]
    left_out: tuple[tuple[str, str], ...]


def arrange(name: str, paths: Sequence[str], left_out: Sequence[tuple[str, str]]) -> Arrangement:
    """Label the files of a folder or archive called `name` by the folders that they lie in.

    `paths` are relative, with "/"; `left_out` holds what the caller could not use. Raises
    DataError where there is no picture, or none in a class folder.
    """
    refused = list(left_out)
    candidates: list[int] = []
    splits: list[list[str]] = []
    clutter: dict[str, bool] = {"": False}  # by folder, since many files share one
    above: dict[str, list[str]] = {}  # likewise: of a path's parts, those of its folder matter
    for position, path in enumerate(paths):
        parts = path.split("/")
        folder = path[: -len(parts[-1])]
        if folder not in clutter:
            clutter[folder] = any(is_clutter(part) for part in parts[:-1])
        if clutter[folder] or is_clutter(parts[-1]):
            continue
        if len(parts) > MAX_DEPTH + 1:
            refused.append((printable(path), TOO_DEEP))
        elif not is_picture_name(parts[-1]):
            refused.append((printable(path), not_a_picture(parts[-1])))
        else:
            candidates.append(position)
            splits.append(above.setdefault(folder, [*parts[:-1], ""]))
    if not candidates:
        raise DataError(_no_pictures(name, refused))
    entries: list[tuple[Entry, int]] = []
    for position, place in zip(candidates, _places(splits), strict=True):
        path = printable(paths[position])
        if isinstance(place, str):
            refused.append((path, place))
        else:
            label, part = place
            entries.append((Entry(path=path, label=class_name(label), part=part), position))
    if not entries:
        raise DataError(_no_classes(name, printable(paths[candidates[0]])))
    entries.sort(key=lambda pair: pair[0].path)
    return Arrangement(
        entries=tuple(entry for entry, _ in entries),
        origin=tuple(position for _, position in entries),
        left_out=tuple(sorted(refused)),
    )


def _places(splits: Sequence[list[str]]) -> list[tuple[str, Part | None] | str]:
    """Return (label, part) for each path, or the reason why it has none."""
    level = _wrapper_depth(splits)
    by_part = _has_parts(splits, level)
    return [_place(parts, level, by_part) for parts in splits]


def _place(parts: list[str], level: int, by_part: bool) -> tuple[str, Part | None] | str:
    part = part_of(parts[level]) if by_part and len(parts) > level + 1 else None
    if by_part:
        if part is None:
            return OUTSIDE_PARTS
        level += 1
    return (parts[level], part) if len(parts) > level + 1 else NO_CLASS_FOLDER


def _wrapper_depth(splits: Sequence[list[str]]) -> int:
    """Return how many wrapping folders stand above the classes or parts."""
    level = 0
    while True:
        heads = {parts[level] for parts in splits if len(parts) > level + 1}
        if len(heads) != 1 or part_of(next(iter(heads))):
            return level
        inside = sum(len(parts) > level + 1 for parts in splits)
        deeper = sum(len(parts) > level + 2 for parts in splits)
        if deeper * 2 < inside:
            return level
        level += 1


def _has_parts(splits: Sequence[list[str]], level: int) -> bool:
    """Say whether the folders at `level` are parts."""
    inside: dict[str, int] = {}
    deeper: dict[str, int] = {}
    for parts in splits:
        if len(parts) > level + 1:
            head = parts[level]
            inside[head] = inside.get(head, 0) + 1
            deeper[head] = deeper.get(head, 0) + (len(parts) > level + 2)
    known = {head: part for head in inside if (part := part_of(head))}
    hold_classes = any(deeper[head] * 2 > inside[head] for head in known)
    return hold_classes and (len(known) == len(inside) or len(set(known.values())) >= 2)


def _no_pictures(name: str, left_out: Sequence[tuple[str, str]]) -> str:
    message = f"{name} holds no pictures; wanted a folder for each class, such as cat/1.jpg"
    if left_out:
        path, reason = left_out[0]
        message += f" ({len(left_out):,} left out, the first {_short(path)}: {reason})"
    return message


def _no_classes(name: str, example: str) -> str:
    return (
        f"{name} holds pictures but no class folders (such as {_short(example)}); "
        "put the pictures of each class into a folder of its name, such as cat/1.jpg"
    )


def _short(path: str) -> str:
    return path if len(path) <= 80 else f"{path[:38]}…{path[-38:]}"
