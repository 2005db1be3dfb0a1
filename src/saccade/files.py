"""Writing so that nothing half-written is ever visible, and digests of what was written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from saccade.errors import SettingsError

# A list of numbers as json indents it: a string holds no line break, so this is never inside one.
_NUMBERS: Final = re.compile(r"\[\n\s+[-+.\deE]+(?:,\n\s+[-+.\deE]+)*\n\s+\]")
TEMPORARY: Final = ".tmp-"  # how the name of everything half-written begins


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` in one step.

    A reader sees the old file or the whole new one. After an error nothing is left behind; after
    `kill -9` only a file whose name begins with `TEMPORARY` is. Raises SettingsError where the
    place cannot be written (no permission, no such folder, disk full).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY, suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~umask())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def readable_json(document: Any) -> str:
    """Return a JSON document as text: indented, lists of numbers on one line, NaN refused.

    A million counts on lines of their own would be four times as long. Raises ValueError for NaN.
    """
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    return _NUMBERS.sub(lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document atomically, as `readable_json` has it."""
    text = readable_json(document)
    # A path's byte that is no UTF-8 becomes \udc80 to \udcff, which JSON reads back as it was.
    write_bytes(path, (text + "\n").encode("utf-8", "backslashreplace"))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def cannot_write(path: Path, error: OSError, *, chosen_by: str = "") -> SettingsError:
    """Return the one-line error for a place that cannot be written, `chosen_by` a variable."""
    reason, by = error.strerror or str(error), f" by {chosen_by}" if chosen_by else ""
    return SettingsError(f"cannot write {path}: {reason}; free space or choose another place{by}")


def umask() -> int:
    """Return the bits that this process takes from the rights of what it makes."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
