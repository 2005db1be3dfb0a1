"""Writing the report: one HTML file that makes no request to any network.

The page carries its style, its script, its pictures and plotly.js. Plotly ships only its full
build, 4.8 MB; packed with gzip and unpacked by the browser (DecompressionStream, in every browser
since 2023) it takes 2 MB. An older browser, or one without scripts, shows everything but the
interactive figures, whose numbers the page also holds as tables.

Class names, paths and reasons are whatever a user's folder holds: every value is escaped by
Jinja2, and a content security policy lets the browser run the page's own two scripts, known by
their digests, and nothing else, and load nothing from anywhere.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from saccade.data import readable_set
from saccade.errors import MissingExtraError
from saccade.evaluation.evaluation import ClassFigures, Evaluation
from saccade.evaluation.labels import LabelEvaluation, LabelFigures
from saccade.files import write_bytes
from saccade.report import confusion, words
from saccade.report.charts import build_charts
from saccade.report.content import ReportContent
from saccade.report.left_out import group_left_out
from saccade.report.thumbnails import data_uri, is_tiny

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_LAYERS: Final = 300
MOST_EPOCHS: Final = 200
MOST_CLASSES: Final = 2000
MOST_PICTURES: Final = 25  # in each of the three galleries
MOST_CHANGED, MOST_VERSIONS = 4, 6  # training pictures, and versions of each


def write_report(path: Path, content: ReportContent) -> None:
    """Write the report atomically as one HTML file.

    Raises MissingExtraError without Jinja2 or Plotly, SettingsError where `path` cannot be written.
    """
    write_bytes(path, render_report(content).encode("utf-8", "backslashreplace"))


def render_report(content: ReportContent) -> str:
    """Return the report as HTML."""
    template = environment().get_template("page.html.j2")
    script = _template_text("page.js")
    charts = build_charts(content)
    plotly, plotly_digest = _packed_plotly() if charts else ("", "")
    return template.render(
        content=content,
        evaluation=content.evaluation,
        answer=words.answer(content.evaluation, content.trainings),
        style=style(),
        script=script,
        policy=_policy(script, plotly_digest),
        plotly=plotly,
        charts=charts,
        python_lines=words.python_lines(content.model_path),
        shell_lines=words.shell_lines(content.model_path),
        most_pictures=MOST_PICTURES,
        examples=_examples(content),
        **_rows(content),
    )


def _examples(content: ReportContent) -> list[list[npt.NDArray[np.uint8]]]:
    """Return the versions of each training picture that is shown; none where none changed."""
    if content.changes is None or content.changes.examples is None:
        return []
    return [list(versions[:MOST_VERSIONS]) for versions in content.changes.examples[:MOST_CHANGED]]


def _rows(content: ReportContent) -> dict[str, Any]:
    """Return what the page lists, each list capped."""
    evaluation = content.evaluation
    epochs = _epoch_rows(content)
    longest = max(len(name) for name in evaluation.classes)
    return {
        **_confusion(evaluation),
        "several": isinstance(evaluation, LabelEvaluation),
        "readable_baseline": readable_set(evaluation.baseline_class),
        "turned_names": longest > (3 if len(evaluation.classes) > 3 else 12),
        "long_names": longest > 12,
        "epochs": epochs[:MOST_EPOCHS],
        "num_epochs": len(epochs),
        "classes": _weakest_first(evaluation.per_class)[:MOST_CLASSES],
        "left_out": group_left_out(content.left_out),
        "layers": content.layers[:MOST_LAYERS],
        "num_parameters": sum(layer.num_parameters for layer in content.layers),
    }


def _confusion(evaluation: Evaluation | LabelEvaluation) -> dict[str, Any]:
    if isinstance(evaluation, LabelEvaluation):
        # A label is there or not; none is taken for another.
        return {"form": None, "pairs": []}
    form = confusion.form(evaluation)
    limit = 10 if form == "table" else 25
    return {"form": form, "pairs": confusion.confused_pairs(evaluation, limit=limit)}


def style() -> str:
    """Return the style sheet of every page."""
    return _template_text("style.css")


def environment(package: str = "saccade.report") -> Environment:
    """Return what renders a package's templates: everything escaped, unknown names refused.

    Raises MissingExtraError without Jinja2.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError(needed_for="the report", extra="train") from error
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    for tool in (
        words.count,
        words.duration,
        words.percent,
        words.percent_range,
        words.pictures,
        words.shortened,
        words.whole_percent,
        data_uri,
        is_tiny,
    ):
        environment.filters[tool.__name__] = tool
    environment.filters["cells"] = confusion.cells
    return environment


def _visible(value: Any) -> Any:
    return words.visible(value) if type(value) is str else value


def _template_text(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _packed_plotly() -> tuple[str, str]:
    """Return plotly.js packed, as base64, and the digest by which the page lets it run."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingExtraError(needed_for="the report", extra="train") from error
    source: str = get_plotlyjs()
    packed = gzip.compress(source.encode("utf-8"), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode("ascii"), _digest(source)


def _policy(script: str, plotly_digest: str) -> str:
    scripts = " ".join(digest for digest in (_digest(script), plotly_digest) if digest)
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {scripts}; base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _weakest_first(
    figures: tuple[ClassFigures, ...] | tuple[LabelFigures, ...],
) -> list[ClassFigures | LabelFigures]:
    """Return the classes by F1, weakest first; one without F1 comes last."""
    return sorted(figures, key=lambda one: 2.0 if one.f1 is None else one.f1.value)


def _epoch_rows(content: ReportContent) -> list[tuple[int, list[float | None]]]:
    """Return (epoch, [loss, val_loss, accuracy, val_accuracy]), epochs counted from 1."""
    columns = [
        content.history.get(key, ()) for key in ("loss", "val_loss", "accuracy", "val_accuracy")
    ]
    return [
        (epoch, list(values)) for epoch, values in enumerate(itertools.zip_longest(*columns), 1)
    ]
