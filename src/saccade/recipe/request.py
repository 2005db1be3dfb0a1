"""What one run was asked: its data, its settings, its folder; kept so that it can go on."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from saccade.config import TrainSettings
from saccade.data import check_pattern
from saccade.errors import DataError, SettingsError
from saccade.files import TEMPORARY, cannot_write, umask, write_json
from saccade.models import IMAGENET
from saccade.recipe.backbone import asked_backbone
from saccade.run import FINISHED, STARTED, VERSION, read_document
from saccade.training import TrainPlan

# What `train` takes where nothing is given: a given default cannot be told from nothing.
_NOT_GIVEN: Final = {  # and None for the rest
    "model": "auto",
    "seed": 0,
    "augment": "auto",
    "fine_tune": False,
    "balance": "auto",
    "multi_label": False,
    "repeats": 1,
    "learning_curve": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run that is about to begin, or to go on: then it has a `plan` and a `data_digest`."""

    data: Any
    test: Any
    settings: TrainSettings
    folder: Path
    created: str  # ISO 8601, UTC
    plan: TrainPlan | None = None
    data_digest: str | None = None


def new_request(
    data: Any, *, test: Any, settings: TrainSettings, name: str | None, out: Path | str
) -> Request:
    """Return the request for a new run.

    Raises SettingsError where the name, or what was asked of the model, cannot be used.
    """
    if data is None:
        raise SettingsError("give the pictures to train on: a folder, an archive, a table or a set")
    asked_backbone(settings)
    if settings.group is not None:
        check_pattern(settings.group)
    now = datetime.now(UTC)
    folder = Path(out) / _checked(name) if name else _unused(Path(out) / _own_name(data, now))
    if folder.exists():
        raise SettingsError(
            f"{folder} exists; choose another --name, or go on with --resume {folder}"
        )
    return Request(
        data=data,
        test=test,
        settings=settings,
        folder=folder,
        created=now.isoformat(timespec="seconds"),
    )


def _unused(folder: Path) -> Path:
    """Return the folder, or one named after it where another run began in the same second."""
    names = (f"{folder.name}-{number}" for number in itertools.count(2))
    while folder.exists():
        folder = folder.with_name(next(names))
    return folder


def check_resume_alone(**options: Any) -> None:
    """Raise SettingsError where options are given that a stopped run has settled already."""
    given = [
        f"--{name.replace('_', '-')}"
        for name, value in options.items()
        if value != _NOT_GIVEN.get(name)
    ]
    if given:
        raise SettingsError(
            f"--resume goes on with the run's own settings; leave out {', '.join(given)}"
        )


def resumed_request(folder: Path | str, data: Any, test: Any) -> Request:
    """Return the request of a run that was stopped; `data` only where it was given as arrays."""
    folder = Path(folder)
    if (folder / FINISHED).is_file():
        raise SettingsError(f"{folder} is finished; there is nothing to go on with")
    if not (folder / STARTED).is_file():
        raise SettingsError(f"{folder} is not a run's folder: it holds no {STARTED}")
    document = read_document(folder / STARTED)
    try:
        kept = Request(
            data=document["data"] if data is None else data,
            test=document["test"] if test is None else test,
            settings=TrainSettings(**document["settings"]),
            folder=folder,
            created=document["created"],
            plan=TrainPlan.from_json(document["plan"]),
            data_digest=document["data_digest"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / STARTED} is damaged: {error!r}; train again") from error
    if kept.data is None:
        raise SettingsError(f"{folder} was trained on arrays; give the same arrays to go on")
    return kept


def sweep(folder: Path) -> None:
    """Delete the half-written files that a run leaves when it is killed."""
    for path in folder.rglob(f"{TEMPORARY}*"):
        with suppress(OSError):  # it is in nobody's way
            path.unlink()


def write_started(request: Request, plan: TrainPlan, data_digest: str) -> None:
    """Make the run's folder and write into it what is needed to go on."""
    document = {
        "version": VERSION,
        "created": request.created,
        "data": _kept(request.data),
        "test": _kept(request.test),
        "settings": request.settings.to_json()
        | {
            "model": _kept_model(request.settings.model),
            "exclude": _kept(request.settings.exclude),
        },
        "plan": _with_kept_weights(plan).to_json(),
        "data_digest": data_digest,
    }
    with _new_folder(request.folder) as temporary:
        write_json(temporary / STARTED, document)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `folder` in one step; after an error nothing is left.

    Raises SettingsError where there is such a folder already, or the place cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=TEMPORARY))
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~umask())
        temporary.rename(folder)
    except OSError as error:
        if folder.exists():
            raise SettingsError(f"{folder} exists; choose another --name") from error
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _kept(data: Any) -> str | None:
    """Return data as it can be found again from any folder; None for arrays."""
    if not isinstance(data, str | os.PathLike):
        return None
    path = Path(data).expanduser()
    return str(path.absolute()) if path.exists() else str(data)


def _kept_model(model: str) -> str:
    """Return a model's name as it serves from any folder."""
    return str(Path(model).absolute()) if model.lower().endswith(".keras") else model


def _with_kept_weights(plan: TrainPlan) -> TrainPlan:
    """Return the plan with the file of weights as it serves from any folder."""
    if plan.backbone is None or plan.backbone.weights == IMAGENET:
        return plan
    weights = str(Path(plan.backbone.weights).absolute())
    return replace(plan, backbone=replace(plan.backbone, weights=weights))


def _checked(name: str) -> str:
    if name in (".", "..") or name.startswith("-") or not name.isprintable():
        raise SettingsError(f"a run's name is the name of a folder, got {name!r}")
    if os.sep in name or "\\" in name or len(name.encode()) > 200:
        raise SettingsError(
            f"a run's name is one short folder's name without / or \\, got {name!r}"
        )
    return name


def _own_name(data: Any, now: datetime) -> str:
    name = "arrays"
    if isinstance(data, str | os.PathLike):
        name = Path(data).expanduser().absolute().name.partition(".")[0] or "pictures"
    name = "".join(letter if letter.isprintable() else "_" for letter in name[:60])
    return f"{name}-{now:%Y%m%d-%H%M%S}"
