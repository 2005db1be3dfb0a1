"""Opening a bundle that may be damaged or hostile, without running anything in it.

Members are stored, never compressed, so that nothing expands: a bundle can make its reader hold no
more than the file's own size. Their names are four fixed ones; nothing is ever unpacked to disk.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.bundle.manifest import KERAS, MANIFEST, MEMBERS, ONNX, SEEN, Manifest, read_manifest
from saccade.errors import BundleError

_MIB: Final = 2**20
MAX_BYTES: Final = {
    MANIFEST: 256 * _MIB,  # a thousand classes' confusion matrix takes 8
    ONNX: 2048 * _MIB - 1,  # what a protocol buffer can hold
    KERAS: 8192 * _MIB,
    SEEN: 1024 * _MIB,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundle:
    """A bundle whose digests hold; ``model.keras`` stays in the file, for Keras to open."""

    manifest: Manifest
    onnx: bytes
    seen: npt.NDArray[np.uint64]  # (K,) sorted digests of the training pictures' pixels


def read_bundle(path: Path) -> Bundle:
    """Return what ``model.saccade`` holds, every digest checked.

    Raises BundleError, one line with the path, for a file that is missing, damaged, hostile or
    written by a newer version.
    """
    if not os.path.isfile(path):  # false as well where it cannot be looked at
        raise BundleError(f"{path}: there is no such file; give a model.saccade")
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return _read(archive)
    except PermissionError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    except _ZIP_ERRORS as error:
        raise BundleError(f"{path}: this is not a bundle, or a damaged one: {error}") from error


# What zipfile raises for bytes that are no proper archive.
_ZIP_ERRORS: Final = (
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def _read(archive: zipfile.ZipFile) -> Bundle:
    members = {info.filename: info for info in archive.infolist()}
    if MANIFEST not in members:
        raise BundleError(f"this is not a bundle, or a damaged one: it holds no {MANIFEST}")
    manifest = read_manifest(_content(archive, members[MANIFEST]))
    # After the version, since a newer format may hold other members.
    names = sorted(info.filename for info in archive.infolist())
    if names != sorted(MEMBERS):
        raise BundleError(f"a bundle holds {sorted(MEMBERS)}, this one {names!r:.300}")
    if not manifest.digests:
        raise BundleError(f"{MANIFEST}: digests are missing")
    onnx = _checked(_content(archive, members[ONNX]), ONNX, manifest)
    seen = _checked(_content(archive, members[SEEN]), SEEN, manifest)
    _check_keras(archive, members[KERAS], manifest)
    return Bundle(manifest=manifest, onnx=onnx, seen=_read_seen(seen))


def _bounded(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise BundleError(f"{info.filename} is compressed, which a bundle's members never are")
    if info.flag_bits & 1:
        raise BundleError(f"{info.filename} is encrypted, which a bundle's members never are")
    if info.file_size > MAX_BYTES[info.filename]:
        raise BundleError(f"{info.filename} is too large: {info.file_size:,} bytes")
    return info


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    content = archive.read(_bounded(info))
    if len(content) != info.file_size:
        raise BundleError(f"{info.filename} is cut short")
    return content


def _checked(content: bytes, member: str, manifest: Manifest) -> bytes:
    _compare(hashlib.sha256(content).hexdigest(), member, manifest)
    return content


def _check_keras(archive: zipfile.ZipFile, info: zipfile.ZipInfo, manifest: Manifest) -> None:
    digest = hashlib.sha256()
    with archive.open(_bounded(info)) as stream:
        while block := stream.read(_MIB):
            digest.update(block)
    _compare(digest.hexdigest(), KERAS, manifest)


def _compare(digest: str, member: str, manifest: Manifest) -> None:
    if digest != manifest.digests[member]:
        raise BundleError(f"{member} is not what was written: its SHA-256 differs")


def _read_seen(content: bytes) -> npt.NDArray[np.uint64]:
    """Return the array in an .npy file, which holds unsigned 64-bit numbers and nothing else."""
    stream = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("not version 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        raise BundleError(f"{SEEN} is not an .npy file: {error}") from error
    body = memoryview(content)[stream.tell() :]
    # Compared before anything is allocated: a header may promise any length.
    if dtype != np.dtype("<u8") or len(shape) != 1 or shape[0] * 8 != len(body):
        raise BundleError(f"{SEEN} holds {dtype} of shape {shape}, wanted sorted <u8 of one axis")
    seen = np.frombuffer(body, dtype="<u8").astype(np.uint64)
    if np.any(seen[1:] < seen[:-1]):
        raise BundleError(f"{SEEN} is not sorted")
    return seen
