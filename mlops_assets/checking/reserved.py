"""The columns that the stages add, whose names no feature and no key may take."""

from __future__ import annotations

from collections.abc import Mapping

#: name -> what it is where a feature would stand beside it
FEATURES: Mapping[str, str] = {
    "window": "the window of a row in the training set",
    "target": "what came true, in the training set",
    "score": "what the model says, beside the features in a profile",
    "prediction_id": "the name of a prediction, by which it is asked for",
    "loss of the score": "what the estimate of a number learns",
    "\0draw": "the chance of a row to be sampled",
    "\0place": "the place of a row in its window",
}
#: the same where a column of the key would
KEYS: Mapping[str, str] = {
    **FEATURES,
    "version": "the version that scored a row, in its predictions",
}
