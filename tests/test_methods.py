"""The methods section: what the config changes changes its words, and nothing in it is of another run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline import plugins
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.sidecar import write_sidecar
from pipeline.config.loader import load_config, parse_override
from pipeline.config.stages import stage_json
from pipeline.evaluation.inputs import vocoder_of
from pipeline.evaluation.methods import Run, methods_text

DOCUMENT: dict[str, Any] = {
    "claims": {
        "simulated": False, "modalities": ["ieeg"], "purge_gap_s": 2.6122, "normalisation": "train", "limits": [],
        "group": "not testable (1; 7 needed)",
    },
    "audit": {"passed": True},
    "subjects": {"s1": {"folds": [{"duration_s": 90.0}, {"duration_s": 60.0}]}},
    "summary": {"chance": {"test": "shifts", "independent": 193, "alpha": 0.01}, "model": {"stoi_vocoder": None}},
}  # fmt: skip
MODEL = {
    "feature_names": {"s1": ["a", "b", "c"]}, "preset": "strong",
    "ensemble_weights": {"0-corrector": 0.25, "1-free": 0.35, "ridge": 0.2},
}  # fmt: skip


def text_of(*overrides: str, document: dict[str, Any] = DOCUMENT) -> str:
    config = load_config([], [parse_override(override) for override in overrides])
    return methods_text(
        document, Run(config.model_dump(mode="json"), [MODEL], {"python": ["3.11.7"], "numpy": ["2.4"]})
    )


def test_it_has_a_paragraph_for_each_topic_and_the_numbers_of_the_run() -> None:
    paragraphs = text_of().split("\n\n")
    topics = [paragraph.split(".")[0] for paragraph in paragraphs]
    assert topics == ["Data", "Features", "Target", "Split", "Model", "Statistics", "Software"]
    whole = " ".join(paragraphs)
    for words in (
        "3 feature channels",
        "2 folds lasted 2.5 min",
        "70-170 Hz",
        "2.61 s or more",
        "0-corrector 0.25",
        "numpy 2.4",
    ):
        assert words in whole, words
    assert "  " not in whole
    assert not re.search(r"\d{4}-\d\d-\d\d", whole)


@pytest.mark.parametrize(
    ("override", "gone", "come"),
    [
        ("align.features=[{kind: band_envelope, bands: [[20, 60], [60, 200]]}]", "70-170 Hz", "20-60 Hz and 60-200 Hz"),
        ("align.features=[{kind: low_pass, cutoff_hz: 4}]", "mean amplitude", "the signal below 4 Hz"),
        ("align.features=[{kind: signal, low_hz: 2}]", "mean amplitude", "the signal itself from 2 to 40 Hz"),
        ("align.features=[{kind: given}]", "Signals were taken", "those of the recordings as given"),
        ("align.reference=car", "without re-referencing", "re-referenced to the common average"),
        ("align.line_noise_hz=60", "at 50 Hz", "at 60 Hz and its harmonics"),
        ("align.line_noise_hz=0", "its harmonics", "no notches"),
        ("mel.n_mels=40", "80 bands", "40 bands"),
        ("split.by=recording", "contiguous blocks", "whole recordings"),
        ("split.by=label", "contiguous blocks", "no test word was in training"),
        ("split.order=chronological", "of each recording. 15", "each trained on what came before it"),
        ("split.folds=7", "5-fold", "7-fold"),
        ("split.validation_fraction=0.2", "15 % of the data", "20 % of the data"),
        ("causal=true", "before and after it", "before it, with causal filters and attention"),
        ("causal=true", "zero-phase", "causal Butterworth"),
        ("train.pool=subjects", "per subject (AdamW", "on all subjects together"),
        ("train.lr=0.01", "learning rate 0.002", "learning rate 0.01"),
        ("evaluate.speech_frames=events", "by energy", "by annotated events"),
        ("evaluate.bootstrap=500", "2000 resamples", "500 resamples"),
    ],
)
def test_another_config_gives_other_words(override: str, gone: str, come: str) -> None:
    before, after = text_of(), text_of(override)
    assert gone in before
    assert come not in before
    assert gone not in after
    assert come in after


def test_the_way_of_prediction_is_the_one_that_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network with a step is run in one pass and has a latency; one of a plug-in is not said to have attention."""
    stepwise = DOCUMENT | {"subjects": {"s1": DOCUMENT["subjects"]["s1"] | {"algorithmic_latency_ms": 11.6}}}
    assert "in one pass over each stretch" in text_of("causal=true", document=stepwise)
    monkeypatch.setattr(plugins, "find", lambda name: None)
    found = text_of("causal=true", "model.network=mylab.network:Convolutions")
    assert "2 networks (of the plug-in mylab.network:Convolutions;" in found
    assert "before it, with causal filters, to the spectrogram" in found
    assert "stitched from overlapping windows" in found


def test_what_the_run_found_stands_in_it() -> None:
    claims = DOCUMENT["claims"] | {"simulated": True, "modalities": ["emg"], "normalisation": "recording_unlabelled"}
    claims |= {"limits": [{"limit": "one_fold"}]}
    found = text_of(document=DOCUMENT | {"claims": claims, "audit": {"passed": False}})
    for words in ("simulated muscle activity", "test included", "a first look", "LEAK"):
        assert words in found, words
        assert words not in text_of(), words
    summary = DOCUMENT["summary"] | {"model": {"stoi_vocoder": "HiFi-GAN"}}
    assert "STOI of sound by HiFi-GAN." in text_of(document=DOCUMENT | {"summary": summary})
    assert "STOI" not in text_of()


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("vocode.seed=1", "Griffin-Lim"),
        ("vocode={vocoder: pulses, pitch_hz: 95}", "pulses of 95 Hz"),
        ("vocode={vocoder: hifigan, checkpoint: g, checkpoint_config: c}", "HiFi-GAN"),
    ],
)
def test_the_vocoder_is_that_of_the_sound(tmp_path: Path, override: str, named: str) -> None:
    config = stage_json("vocode", load_config([], [parse_override("mel.flavor=hifigan"), parse_override(override)]))
    write_sidecar(tmp_path / "provenance.json", "vocode", [], Provenance(config))
    assert vocoder_of(tmp_path / "provenance.json") == named


def test_a_run_holds_its_methods_in_eval_json_and_the_report(chain: Path) -> None:
    methods = json.loads((chain / "results/eval.json").read_text())["methods"]
    assert "simulated brain activity" in methods
    assert "3-fold cross-validation" in methods
    assert "numpy" in methods
    assert "STOI of sound by Griffin-Lim." in methods
    page = (chain / "results/report.html").read_text()
    assert "STOI and ESTOI are those of sound by Griffin-Lim." in page
    assert methods.split("\n\n")[3].split("'")[0] in page
