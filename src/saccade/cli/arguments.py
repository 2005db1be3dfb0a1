"""Arguments that several commands take, and the longer ones of ``saccade train``.

Paths are not `readable`, which would have typer refuse what may not be read in four lines and its
own words: whoever opens the file says so in one.
"""

from __future__ import annotations

from typing import Any, Final

import typer

MODEL: Final[Any] = typer.Argument(help="A model.saccade file, or a run's folder.", readable=False)
OUT: Final[Any] = typer.Option(help="Where runs are kept.", readable=False)
RUN: Final[Any] = typer.Argument(help="A run's folder.", readable=False)

MODEL_TO_TRAIN: Final[Any] = typer.Option(
    help="auto, a tutorial's network (t5), one of keras.applications (InceptionV3), FILE.keras "
    "or module:function.",
)
CHANGES: Final[Any] = typer.Option(
    metavar="CHANGES",
    help="Changes to training pictures: auto, none, or by name, such as "
    "rotate=40,shift=0.2,shear=0.2,zoom=0.2,flip,fill=nearest.",
)
WEIGHTS: Final[Any] = typer.Option(
    metavar="FILE",
    help="Pretrained weights, without the head, for a network of keras.applications; without FILE "
    "Keras downloads ImageNet's.",
    readable=False,
)
FINE_TUNE: Final[Any] = typer.Option(
    "--fine-tune",
    help="Then train the layers below too, for the rest of the budget, and keep that only where "
    "validation says it is better.",
)
GROUP: Final[Any] = typer.Option(
    metavar="COLUMN|PATTERN|none",
    help="Keep one patient, product or burst on one side: a table's column, or a pattern on the "
    "path, such as 'patient(\\d+)'. A film's frames are so unasked; none deals them out.",
)
EXCLUDE: Final[Any] = typer.Option(
    metavar="FILE",
    help="Leave out the pictures in this CSV, such as check's exclude.csv.",
    readable=False,
)
BALANCE: Final[Any] = typer.Option(
    metavar="auto|on|off",
    help="Labels that find small classes too, where classes are uneven; off is plain accuracy.",
)
OPERATING_POINT: Final[Any] = typer.Option(
    metavar="WISH",
    help="For two classes: the label follows a wish, recall:CLASS=SHARE or precision:CLASS=SHARE, "
    "such as recall:dogs=0.95.",
)
MULTI_LABEL: Final[Any] = typer.Option(
    "--multi-label",
    help='Any number of labels a picture: a table\'s cells hold them with ";" or "|" between, or '
    "nothing.",
)
FOLDS: Final[Any] = typer.Option(
    metavar="K",
    help="Where pictures are few: each judges once, in one of K folds, and the classifier trains "
    "on all.",
)
REPEATS: Final[Any] = typer.Option(
    metavar="R",
    help="Train so many times with other seeds, to tell how much is chance; with --folds, fold "
    "anew each time.",
)
LEARNING_CURVE: Final[Any] = typer.Option(
    "--learning-curve",
    help="Also train on fewer pictures and for half as long, out of the budget, to tell what more "
    "pictures and more time are worth.",
)
RESUME: Final[Any] = typer.Option(
    metavar="RUN",
    help="Go on with a run that was stopped; with --epochs, to the very same weights.",
    readable=False,
)
