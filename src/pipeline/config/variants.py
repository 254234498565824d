"""The models of a run: the decoder itself, and variants that are trained beside it."""

FULL = "full"
#: One whose network takes no brain signal from after a sound frame.
PAST_ONLY_SOUND = "past_only_sound"
#: One trained on circularly shifted brain signals: ``null0``, ``null1``, …
NULL = "null"
