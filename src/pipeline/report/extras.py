"""What the report shows beside the scores; apart from the page, which needs matplotlib and jinja2 to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.evaluation.contamination import Contamination
from pipeline.evaluation.types import Values


@dataclass(frozen=True)
class LearningCurve:
    """Training history of one network: named values over steps, NaN where a value was not logged."""

    steps: Values
    values: Mapping[str, Values]


@dataclass(frozen=True)
class Attention:
    """Attention of one test window: (heads, output groups, encoder positions) and their times [s]."""

    weights: Values
    output_s: Values
    encoder_s: Values


@dataclass(frozen=True)
class ReportExtras:
    """What the report shows beside the document; each part may be missing.

    ``band_hz`` (n_mels,) are the centres of the mel bands.  ``curves`` are keyed by (subject, fold)
    and hold one curve per network, by its name; ``attention`` by (subject, fold).
    """

    curves: Mapping[tuple[str, int], Mapping[str, LearningCurve]] = field(default_factory=dict)
    attention: Mapping[tuple[str, int], Attention] = field(default_factory=dict)
    contamination: Sequence[Contamination] = ()
    band_hz: Values | None = None
    config_text: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)


def switched_off_html() -> str:
    """The page in place of the report where ``evaluate.report`` is false."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Report switched off</title></head>'
        "<body><p>The report was switched off (evaluate.report: false). The scores are in eval.json; "
        "<code>python -m pipeline report --out FILE</code> draws the page.</p></body></html>\n"
    )
