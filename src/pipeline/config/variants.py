"""Names of the variants: models that are trained in addition to the main one."""

FULL = "full"
#: A model that takes no brain signal from after a sound frame.
PAST_ONLY_SOUND = "past_only_sound"
#: Models trained on circularly shifted brain signals: ``null0``, ``null1``, …
NULL = "null"
