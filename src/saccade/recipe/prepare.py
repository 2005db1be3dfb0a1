"""From what the user gave to pictures ready to train on: index, plan, cache, split."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.augmentation import parse_augmentation
from saccade.config import TrainSettings
from saccade.data import (
    ALONE,
    TEST_SHARE,
    UNASSIGNED,
    Ahead,
    Cache,
    Index,
    LabelSets,
    Preprocessing,
    Workers,
    build_cache,
    build_index,
    by_strata,
    excluded,
    exclusion_note,
    group_rows,
    numbered_series,
    open_rows,
    open_source,
    split_index,
    validation_share,
)
from saccade.errors import DataError, SettingsError
from saccade.models import AUTO, BackboneDesign, engine_name, wanted_input_shape
from saccade.progress import Progress
from saccade.recipe.backbone import choose_backbone
from saccade.recipe.balance import with_balance
from saccade.recipe.clock import Clock
from saccade.recipe.kinship import Kinship, find_kin
from saccade.recipe.learning import training_share
from saccade.recipe.request import Request
from saccade.training import Facts, Pictures, TrainPlan, derive_plan
from saccade.transfer import Backbone, backbone
from saccade.types import PARTS, TEST, TRAIN, VALIDATION

# What is left to do after training, as far as the plan needs to know: `ending` measures it later.
_ENDING_S: Final = 4.0
_ENDING_SHARE: Final = 0.15
_LEAST_SHARE: Final = 0.1  # of the budget is for training, whatever else takes how long


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """Pictures at training size, every usable one in a part, and the plan to train by."""

    name: str  # of the data, as the user knows it
    index: Index
    cache: Cache
    plan: TrainPlan
    data_digest: str
    kinship: Kinship
    exclude_digest: str | None = None  # of the paths that the user left out
    parts_given: bool = False  # the data have a test or validation part of their own
    body: Backbone | None = None  # the frozen layers below the head, in transfer learning
    featured: npt.NDArray[np.intp] | None = None  # rows whose features several trainings share
    sets: LabelSets | None = None  # that the index's classes are, where a picture has several

    @property
    def classes(self) -> tuple[str, ...]:
        """What the network tells: classes, or labels; an output each, in this order."""
        return self.index.classes if self.sets is None else self.sets.names

    @property
    def preprocessing(self) -> Preprocessing:
        """What turned the files into the cache's pixels."""
        return self.plan.preprocessing

    def pictures(self, part: int) -> Pictures:
        """Return one part's rows with their labels."""
        rows = self.index.rows_of(part)
        labels = self.index.label[rows].astype(np.intp)
        groups = self.kinship.kin.groups
        group = None if groups is None else groups[rows]
        told = labels if self.sets is None else self.sets.targets(labels)
        return Pictures(self.cache.pixels, rows, told, group, self.classes)


def prepare(request: Request, *, clock: Clock, progress: Progress) -> Prepared:
    """Read, plan, cache and split. Raises DataError where the data cannot be trained on."""
    with Workers() as workers, Ahead() as ahead:
        if isinstance(request.data, str | os.PathLike) and os.path.exists(request.data):
            workers.start()  # while the folder is listed
        return _prepare(request, workers, ahead, clock=clock, progress=progress)


def _prepare(
    request: Request, workers: Workers, ahead: Ahead, *, clock: Clock, progress: Progress
) -> Prepared:
    with clock.stage("scan"):
        several = request.settings.multi_label
        source = open_source(
            request.data, test=request.test, multi_label=several, progress=progress
        )
        index = build_index(source, progress=progress, workers=workers, ahead=ahead)
        exclude_digest = None
        if (file := request.settings.exclude) is not None:
            index, exclude_digest = excluded(index, Path(file).expanduser())
        parts_given = bool((index.part != UNASSIGNED).any())
        sets = LabelSets.of(index.classes) if several else None
        _check_classes(index, source.name, sets)
        _check_operating_point(index, request.settings)
        group = request.settings.group
        groups = None if group in (None, ALONE) else group_rows(source, index, group)
        series = numbered_series(index) if group is None else None
        folds = request.settings.folds
        if folds is not None:
            _check_parts(index, source.name)
    data_digest = _digest(index, exclude_digest, groups)
    if request.data_digest not in (None, data_digest):
        raise DataError(f"{source.name} has changed since {request.folder} began; train anew")
    strata = None if sets is None else by_strata(index, sets)
    dealt = (index if strata is None else strata, series if groups is None else groups)
    is_open = index.usable  # in folds every picture trains as well as judges
    if folds is None:
        is_open = open_rows(dealt[0], seed=request.settings.seed, groups=dealt[1])
    engine_name()  # imports what trains, so that the plan knows what time is left
    num_classes = len(index.classes if sets is None else sets.names)
    plan = request.plan or _plan(
        index,
        is_open,
        request.settings,
        num_classes=num_classes,
        num_train=_num_train(*dealt, folds),
        clock=clock,
    )
    # Before the pictures are decoded: weights that do not fit shall cost no time.
    body = None if plan.backbone is None else build_body(plan.backbone, plan)
    if plan.backbone is not None and body is not None:
        plan = replace(plan, backbone=replace(plan.backbone, digest=body.digest))
    with clock.stage("cache"):
        cache, index = build_cache(
            source, index, plan.preprocessing, progress=progress, workers=workers, ahead=ahead
        )
    with clock.stage("copies"):
        budget_s = request.settings.budget_s
        kinship = find_kin(
            index, cache, plan.preprocessing, groups=groups, series=series, budget_s=budget_s
        )
        with kinship.naming_series():
            index = split_index(
                index,
                cache.pixel_digest,
                seed=request.settings.seed,
                with_test=folds is None,
                is_open=is_open,
                kin=kinship.kin,
                strata=strata,
            )
        _check_validation(index, request.settings)
        if sets is not None:
            _check_labels(index, sets)
    plan = with_balance(plan, index, request.settings)
    return Prepared(
        name=source.name,
        index=index,
        cache=cache,
        plan=plan,
        data_digest=data_digest,
        kinship=kinship,
        exclude_digest=exclude_digest,
        parts_given=parts_given,
        body=body,
        sets=sets,
    )


def with_budget(prepared: Prepared, budget_s: float) -> Prepared:
    """Return the same with another time for training in the plan."""
    return replace(prepared, plan=replace(prepared.plan, budget_s=budget_s))


def data_notes(prepared: Prepared) -> tuple[str, ...]:
    """Return sentences on what a reader should know of the data."""
    notes, index = [], prepared.index
    if left_out := int((~index.usable).sum()):
        notes.append(f"{left_out:,} of {len(index):,} files were left out; the report lists them")
    if listed := exclusion_note(index):
        notes.append(listed)
    if conflicts := int(index.flagged("conflict").sum()):
        notes.append(f"{conflicts:,} pictures have a copy with another label")
    return (*notes, *prepared.kinship.notes(index))


def _plan(
    index: Index,
    rows: npt.NDArray[np.bool_],
    settings: TrainSettings,
    *,
    num_classes: int,
    num_train: int,
    clock: Clock,
) -> TrainPlan:
    """Derive the plan from the headers of `rows`, none of which is, or will be, a test picture."""
    if not rows.any():
        raise DataError("every picture is in the test part; add pictures to train on")
    facts = Facts.measured(
        index,
        rows,
        num_classes=num_classes,
        num_train=num_train,
        budget_s=_planned_time(settings, clock),
        epochs=settings.epochs,
        seed=settings.seed,
    )
    chosen, why = choose_backbone(settings, facts)
    if facts.budget_s is not None:
        facts = replace(facts, budget_s=facts.budget_s * training_share(settings, chosen))
    input_shape = None if settings.model == AUTO else wanted_input_shape(settings.model)
    plan = derive_plan(
        facts,
        model=settings.model,
        input_shape=input_shape,
        augmentation=parse_augmentation(settings.augment),
        backbone=chosen,
    )
    return replace(plan, why=why)


def build_body(design: BackboneDesign, plan: TrainPlan) -> Backbone:
    """Build the backbone; raise DataError where its weights are not those that a run began with."""
    body = backbone(design.name, plan.height_px, weights=design.weights, cut=design.cut)
    if design.digest not in ("", body.digest):
        raise DataError(f"the weights {design.weights} have changed since; train anew")
    return body


def _num_train(index: Index, groups: npt.NDArray[np.intp] | None, folds: int | None) -> int:
    """Return about how many pictures the split will leave to train on.

    It deals out `groups` (N,) whole, -1 being no group, by the index's classes.
    """
    num_given = np.bincount(index.part[index.usable & (index.part >= 0)], minlength=len(PARTS))
    trainable = index.usable & (index.part != VALIDATION) & (index.part != TEST)
    share = 1.0
    if not num_given[VALIDATION]:
        counted = trainable & (index.label >= 0)
        if groups is not None:
            first = np.unique(groups, return_index=True)[1]  # of each group, and one of no group
            counted &= (groups < 0) | np.isin(np.arange(len(groups)), first)
        share -= validation_share(np.bincount(index.label[counted]))
    if not num_given[TEST]:
        share -= TEST_SHARE if folds is None else 1 / folds
    return max(1, int(trainable.sum() * share))


def _planned_time(settings: TrainSettings, clock: Clock) -> float | None:
    if settings.budget_s is None:
        return None
    ending_s = min(_ENDING_S, _ENDING_SHARE * settings.budget_s)
    return time_left(settings.budget_s, clock, ending_s) / settings.num_trainings


def time_left(budget_s: float, clock: Clock, ending_s: float) -> float:
    """Return the seconds for training: the budget less what is gone and what comes after."""
    return max(budget_s - clock.elapsed_s - ending_s, _LEAST_SHARE * budget_s)


def _check_classes(index: Index, name: str, sets: LabelSets | None) -> None:
    """Raise DataError unless there are two classes; the split looks at how many pictures each."""
    present = np.unique(index.label[index.usable & (index.label >= 0)])
    first = next((f" (first: {path}: {why})" for path, why in _left_out(index)), "")
    if sets is not None and (len(sets.names) < 2 or len(present) < 2):
        found = ", ".join(map(repr, sets.names[:5])) or "none"
        raise DataError(
            f"{name}: --multi-label takes at least two labels, and pictures that differ in them; "
            f"found {found} in {len(present):,} different sets; one label alone is two classes: "
            f"train without --multi-label{first}"
        )
    if len(present) >= 2:
        return
    found = f"one, {index.classes[present[0]]!r}" if len(present) else "none"
    raise DataError(
        f"{name}: telling classes apart takes at least two with usable pictures, found {found}; "
        f"put the pictures of each class in a folder named after it{first}"
    )


def _check_parts(index: Index, name: str) -> None:
    """Raise DataError where the user has set pictures apart, which folds would mix again."""
    given = [
        f"{PARTS[part]} ({len(rows):,} pictures)"
        for part in (VALIDATION, TEST)
        if len(rows := index.rows_of(part))
    ]
    if given:
        raise DataError(
            f"{name}: with folds every picture trains and judges by turns, and the data sets apart "
            f"{' and '.join(given)}; leave out --folds, or train on the folder of training pictures"
            " alone"
        )


def _check_operating_point(index: Index, settings: TrainSettings) -> None:
    """Raise SettingsError for an operating point unless it is of one of two classes."""
    if settings.wish is None:
        return
    wished, classes = settings.wish.class_name, index.classes
    if len(classes) != 2:
        raise SettingsError(
            f"an operating point is for two classes, and the data has {len(classes)}; leave out "
            "--operating-point, or put the pictures into two classes"
        )
    if wished not in classes:
        raise SettingsError(
            f"an operating point is of one of the classes, {classes[0]!r} or {classes[1]!r}, "
            f"got {wished!r}"
        )


def _check_labels(index: Index, sets: LabelSets) -> None:
    """Raise DataError unless each label has a picture to train on."""
    trained = sets.targets(index.label[index.rows_of(TRAIN)]).sum(axis=0)
    labelled = index.label >= 0
    for place in np.flatnonzero(trained == 0)[:1]:
        listed, usable = (
            int(sets.membership[index.label[rows], place].sum())
            for rows in (labelled, labelled & index.usable)
        )
        raise DataError(
            f"label {sets.names[place]!r} has no picture to train on ({listed:,} listed, "
            f"{usable:,} usable); add training pictures of it, or leave the label out"
        )


def _check_validation(index: Index, settings: TrainSettings) -> None:
    """Raise DataError where an operating point cannot be chosen for want of any picture."""
    if settings.wish is None:
        return
    wished = settings.wish.class_name
    if not np.any(index.label[index.rows_of(VALIDATION)] == index.classes.index(wished)):
        raise DataError(
            f"an operating point is chosen on validation pictures, and none is of {wished!r}; "
            "put some into the validation part, or leave out --operating-point"
        )


def _left_out(index: Index) -> list[tuple[str, str]]:
    return [(index.path[row], index.reason[row]) for row in np.flatnonzero(~index.usable)]


def _digest(index: Index, exclude_digest: str | None, groups: npt.NDArray[np.intp] | None) -> str:
    """Return a digest of every picture's content, label and part, in order, and of the groups."""
    digest = hashlib.sha256("\n".join(index.classes).encode("utf-8", "backslashreplace"))
    columns: tuple[npt.NDArray[Any], ...] = (index.sha256, index.label, index.part)
    for sha256, label, part in zip(*columns, strict=True):
        digest.update(f"\n{sha256} {label} {part}".encode())
    if exclude_digest is not None:
        digest.update(f"\nexclude {exclude_digest}".encode())
    if groups is not None:
        digest.update(b"\ngroup " + groups.astype("<i8").tobytes())
    return digest.hexdigest()
