"""The model doctor: what will go wrong with a network, its loss, its data and its `fit`.

    for finding in examine(Case.of(model)):
        print(finding.message, finding.cure)

It only looks: at the graph of layers, at the loss that the model was compiled with, at a sample of
the data, and at the arguments of `fit`. Every rule is one small function from a `Case` to findings,
and is silent where it cannot know: a doctor who cries wolf is not listened to.
"""

from saccade.doctor.case import Case
from saccade.doctor.data import DataFacts, Labels
from saccade.doctor.examination import examine, warnings_before_training
from saccade.doctor.fitcall import FitCall

__all__ = ["Case", "DataFacts", "FitCall", "Labels", "examine", "warnings_before_training"]
