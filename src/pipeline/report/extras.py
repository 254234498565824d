"""Inputs of the report beyond the scores; a module of its own, since the page imports matplotlib and jinja2."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.artifacts import paths
from pipeline.artifacts.predictions import PredictedFold
from pipeline.artifacts.windows import Windows
from pipeline.config.canonical import digest
from pipeline.config.evaluate import EvaluateStage
from pipeline.evaluation.contamination import Contamination
from pipeline.evaluation.inputs import IMPORTANCE_KINDS, EvaluationInputs, extra
from pipeline.evaluation.recorded import recorded_config, recorded_versions
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
class Contacts:
    """Places (contact, axis) of a subject's contacts, in its table's unit, and the group of each by kind."""

    position: Values
    groups: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Recorded:
    """A session: its number of trials, minutes with signal and sound, rates [Hz] of both (``None`` where no fold uses
    it), and ``channels``.

    These are by name how each was used, as the contamination check lists them; nothing where features were given.
    """

    subject: str
    session: str
    trials: int
    minutes: float
    signal_hz: float | None
    sound_hz: float | None
    channels: Mapping[str, str]


@dataclass(frozen=True)
class ReportExtras:
    """What the report shows beside the document; each part may be missing.

    ``versions`` says by package and version how many of the scored outputs were made with it.
    ``band_hz`` (n_mels,) are the centres of the mel bands.  ``curves`` are keyed by (subject, fold)
    and hold one curve per network, by its name; ``attention`` by (subject, fold), ``contacts`` by subject, as are
    ``sessions``, the names of all that the sheet has.  ``code`` is the digest of the code that made what was scored.
    """

    curves: Mapping[tuple[str, int], Mapping[str, LearningCurve]] = field(default_factory=dict)
    attention: Mapping[tuple[str, int], Attention] = field(default_factory=dict)
    contacts: Mapping[str, Contacts] = field(default_factory=dict)
    contamination: Sequence[Contamination] = ()
    recorded: Sequence[Recorded] = ()
    code: str = ""
    sessions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    band_hz: Values | None = None
    config_text: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def read_extras(inputs: EvaluationInputs, config: EvaluateStage) -> ReportExtras:
    """Read what the report shows of the folds in ``inputs``."""
    scope, predictions, windows = inputs.scope, inputs.predictions, inputs.windows
    names = scope.names
    return ReportExtras(
        curves={n: _curves(paths.metrics(*scope.trained(n))) for n in names},
        attention={n: a for n in names if (a := _attention(predictions[n], windows[n[0]]))},
        contacts={n[0]: c for n in names if (c := _contacts(predictions[n]))},
        contamination=inputs.context.contamination,
        recorded=[own for w in windows.values() for own in _recorded(w, inputs.context.contamination)],
        code=digest([made["code_fingerprint"] for made in inputs.made.values()]),
        sessions=inputs.context.sessions,
        band_hz=extra(predictions[names[0]], "band_hz"),
        config_text=json.dumps(recorded_config(inputs, config), indent=1, sort_keys=True),
        provenance={path: inputs.made[path]["content_digest"] for path in (str(paths.predictions(*n)) for n in names)},
        versions=recorded_versions(inputs),
    )


def _recorded(windows: Windows, checks: Sequence[Contamination]) -> Iterator[Recorded]:
    """What each session of a subject holds."""
    rates = {(s.recording, s.signal): s.rate_hz for s in windows.spans}
    channels = {
        c.recording: dict(zip(c.channels.get("name", ()), c.channels.get("use", ()), strict=True)) for c in checks
    }
    for session in windows.session_names:
        own = [i for i, name in enumerate(windows.sessions) if name == session]
        frames = sum(int(stop - start) for start, stop in windows.usable[own])
        signal_hz, sound_hz = (next((rates[i, s] for i in own if (i, s) in rates), None) for s in ("neural", "audio"))
        minutes = frames / windows.attributes["frame_rate_hz"] / 60
        yield Recorded(windows.subject, session, len(own), minutes, signal_hz, sound_hz, channels.get(session, {}))


def _curves(file: Path) -> dict[str, LearningCurve]:
    """The training history of each network in ``metrics.csv``, by its name."""
    with file.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    names = [name for name in (rows[0] if rows else ()) if name.startswith(("train_", "val_"))]
    curves = {}
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        values = {name: np.array([float(row[name] or "nan") for row in own]) for name in names}
        curves[network] = LearningCurve(np.array([float(row["step"]) for row in own]), values)
    return curves


def _attention(fold: PredictedFold, windows: Windows) -> Attention | None:
    if "attention/weights" not in fold.extras:
        return None
    rate_hz = windows.attributes["frame_rate_hz"]
    extras = {name.removeprefix("attention/"): values for name, (values, _) in fold.extras.items()}
    return Attention(extras["weights"][0], extras["output_frame"] / rate_hz, extras["encoder_frame"] / rate_hz)


def _contacts(fold: PredictedFold) -> Contacts | None:
    position = extra(fold, "contacts/position")
    if position is None:
        return None
    groups = {kind: fold.extras[f"contacts/{kind}"][0].tolist() for kind in IMPORTANCE_KINDS}
    return Contacts(position, {kind: [name.decode() for name in own] for kind, own in groups.items()})


def switched_off_html() -> str:
    """The page in place of the report where ``evaluate.report`` is false."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Report switched off</title></head>'
        "<body><p>The report was switched off (evaluate.report: false). The scores are in eval.json; "
        "<code>seeg-to-audio report --out FILE</code> draws the page.</p></body></html>\n"
    )
