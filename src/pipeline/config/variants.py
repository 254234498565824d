"""Names of the variants, models that are trained in addition to the main one, and of the final model."""

from typing import Literal

FULL = "full"
#: A model that takes no brain signal from after a sound frame.
PAST_ONLY_SOUND = "past_only_sound"
#: Models trained on circularly shifted brain signals: ``null0``, ``null1``, …
NULL = "null"
#: In place of a fold's number: the model that is trained on everything, with settings from the folds.
FINAL: Literal["final"] = "final"
Fold = int | Literal["final"]
