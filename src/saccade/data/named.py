"""Published sets by name, with their own class names and their official train and test parts.

| name          | pictures                | files                                              |
|---------------|-------------------------|----------------------------------------------------|
| digits        | 1,797 of 8 x 8, grey    | inside scikit-learn; no parts; 0-16 scaled to 255  |
| fashion-mnist | 70,000 of 28 x 28, grey | four IDX files (Xiao et al. 2017)                  |
| mnist         | 70,000 of 28 x 28, grey | four IDX files (LeCun et al. 1998)                 |
| cifar10       | 60,000 of 32 x 32 x 3   | cifar-10-binary.tar.gz (Krizhevsky 2009)           |

CIFAR-10's better known archive holds pickles, which run code when read; the binary one holds the
same numbers. Digests were computed from the files (Fashion-MNIST, equal to the published MD5), or
are those that many projects record of them.
"""

from __future__ import annotations

import gzip
import importlib.util
import math
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np

from saccade.data.arrays import ArraySource, from_parts
from saccade.data.download import PublishedFile, locate
from saccade.data.raster import Pixels
from saccade.data.source import Source
from saccade.errors import DataError, MissingExtraError
from saccade.progress import Progress
from saccade.types import Part

_MAX_IDX: Final = 1 << 28  # bytes; the sets' largest file expands to 47 MB
_DIGITS: Final = tuple("0123456789")
_CIFAR_RECORD: Final = 1 + 3 * 32 * 32  # label, then red, green and blue planes
_CIFAR_BATCH: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """A set that is published as files: their names and digests, and how to read them."""

    name: str
    base_url: str
    files: tuple[PublishedFile, ...]
    classes: tuple[str, ...]  # by the published number
    read: Callable[[PublishedSet, Sequence[Path]], ArraySource]


def named_sets() -> tuple[str, ...]:
    """Return the names that `open_named` knows."""
    return ("digits", *PUBLISHED)


def open_named(name: str, *, progress: Progress) -> Source:
    """Return a published set, downloaded if it is nowhere on this machine."""
    return _digits() if name == "digits" else open_published(PUBLISHED[name], progress=progress)


def open_published(dataset: PublishedSet, *, progress: Progress) -> ArraySource:
    """Find or download the files of a set, and read them."""
    paths = locate(dataset.name, dataset.files, dataset.base_url, progress=progress)
    return dataset.read(dataset, paths)


def read_idx_set(dataset: PublishedSet, paths: Sequence[Path]) -> ArraySource:
    """Read four IDX files: training pictures and labels, then test pictures and labels."""
    classes = np.array(dataset.classes)
    train_x, train_y, test_x, test_y = map(read_idx, paths)
    parts: Mapping[Part | None, tuple[Pixels, object]] = {
        "train": (train_x, classes[train_y]),
        "test": (test_x, classes[test_y]),
    }
    return from_parts(dataset.name, parts)


def read_idx(path: Path) -> Pixels:
    """Read one gzipped IDX file of bytes: zero, zero, type 8, rank, sizes, then the numbers."""
    content = _expanded(path)
    rank = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank))
    start = 4 + 4 * rank
    if not rank or len(content) - start != math.prod(shape):
        raise DataError(f"{path} is not an IDX file of bytes, or is damaged; download it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_cifar10(dataset: PublishedSet, paths: Sequence[Path]) -> ArraySource:
    """Read the binary archive: five training batches and a test batch of 10,000 records."""
    batches: dict[str, Pixels] = {}
    try:
        with tarfile.open(paths[0], "r|gz") as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                size = _CIFAR_BATCH * _CIFAR_RECORD
                if name.endswith(".bin") and member.isreg() and member.size == size:
                    file = archive.extractfile(member)
                    batches[name] = _cifar_batch(file) if file else batches[name]
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{paths[0]} is damaged: {error}; download it again") from error
    wanted = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    if missing := [name for name in wanted if name not in batches]:
        raise DataError(f"{paths[0]} lacks {', '.join(missing)}; download it again")
    train = np.concatenate([batches[name] for name in wanted[:5]])
    parts: Mapping[Part | None, tuple[Pixels, object]] = {
        "train": _cifar_pictures(train, dataset.classes),
        "test": _cifar_pictures(batches["test_batch.bin"], dataset.classes),
    }
    return from_parts(dataset.name, parts)


def _cifar_batch(file: IO[bytes]) -> Pixels:
    return np.frombuffer(file.read(), np.uint8).reshape(-1, _CIFAR_RECORD)


def _cifar_pictures(records: Pixels, classes: Sequence[str]) -> tuple[Pixels, object]:
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.array(classes)[records[:, 0]]


def _expanded(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            content = file.read(_MAX_IDX + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}; download it again") from error
    if len(content) > _MAX_IDX:
        raise DataError(f"{path} expands to more than {_MAX_IDX:,} bytes; download it again")
    return content


def _digits() -> ArraySource:
    """Read scikit-learn's digits without importing it, which would take 2 seconds."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingExtraError(needed_for="the digits set", extra="train")
    table = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not table.is_file():
        raise DataError(f"scikit-learn no longer keeps digits in {table}; install another version")
    values = np.loadtxt(table, delimiter=",", dtype=np.int64)  # (1797, 65): 64 pixels, the digit
    pixels = np.rint(values[:, :64].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return from_parts("digits", {None: (pixels, values[:, 64])})


def _idx_files(digests: Sequence[tuple[str, int]]) -> tuple[PublishedFile, ...]:
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in _IDX_KINDS]
    return tuple(
        PublishedFile(name=name, sha256=sha256, size=size)
        for name, (sha256, size) in zip(names, digests, strict=True)
    )


_IDX_KINDS: Final = ("images-idx3", "labels-idx1")

PUBLISHED: Final[Mapping[str, PublishedSet]] = {
    "fashion-mnist": PublishedSet(
        name="fashion-mnist",
        base_url="https://storage.googleapis.com/tensorflow/tf-keras-datasets",
        files=_idx_files(
            [
                ("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26421880),
                ("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29515),
                ("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4422102),
                ("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5148),
            ]
        ),
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        read=read_idx_set,
    ),
    "mnist": PublishedSet(
        name="mnist",
        base_url="https://storage.googleapis.com/cvdf-datasets/mnist",
        files=_idx_files(
            [
                ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9912422),
                ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28881),
                ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1648877),
                ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4542),
            ]
        ),
        classes=_DIGITS,
        read=read_idx_set,
    ),
    "cifar10": PublishedSet(
        name="cifar10",
        base_url="https://www.cs.toronto.edu/~kriz",
        files=(
            PublishedFile(
                name="cifar-10-binary.tar.gz",
                sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                size=170052171,
            ),
        ),
        classes=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        read=read_cifar10,
    ),
}
