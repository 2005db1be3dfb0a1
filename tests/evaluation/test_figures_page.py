import dataclasses
import re
from pathlib import Path

from saccade.evaluation import Evaluation, LabelEvaluation, LabelFigures

PAGE = Path(__file__).parents[2] / "docs" / "figures.md"


def test_worked_example_runs():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})


def test_page_names_every_key():
    text = PAGE.read_text(encoding="utf-8")
    for field in (*dataclasses.fields(Evaluation), *dataclasses.fields(LabelEvaluation)):
        assert f"`{field.name}`" in text
    of_a_label = ", ".join(field.name for field in dataclasses.fields(LabelFigures))
    assert f"`{{{of_a_label}}}`" in text
