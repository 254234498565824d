"""A methods section in plain text, made of what a run recorded: ready to copy into a paper.

In: eval.json's content, the config as the stages recorded it, the models' sidecars and the versions of packages.
Every number in it comes from these; equal inputs give equal text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pipeline.evaluation.types import Document
from pipeline.raw.modality import activity

Config = Mapping[str, Any]
REFERENCES = {
    "none": "without re-referencing",
    "car": "re-referenced to the common average of good channels",
    "shaft": "re-referenced to the average of each shaft",
    "bipolar": "in bipolar derivations of neighbouring contacts",
    "laplacian": "in Laplacian derivations along each shaft",
}
SPLITS = {
    "block": "contiguous blocks of each recording",
    "recording": "whole recordings",
    "session": "whole sessions",
    "label": "whole words: no test word was in training",
}
NORMALISATIONS = {
    "train": "Mean and standard deviation of features and spectrogram were those of training frames",
    "recording_unlabelled": "Features were scaled by their mean and standard deviation in whole recordings, test "
    "included, "
    "the spectrogram by those of training frames",
    "causal_running": "Features were scaled by the running mean and standard deviation of the past, the spectrogram "
    "by "
    "those of training frames",
}


@dataclass(frozen=True)
class Run:
    """What a run recorded: its ``config`` by section, the ``models``' sidecars, and each package's ``versions``."""

    config: Config
    models: Sequence[Mapping[str, Any]]
    versions: Mapping[str, Sequence[str]]


def methods_text(document: Document, run: Run) -> str:
    """The paragraphs, a blank line between them."""
    parts: tuple[Callable[[Document, Run], str], ...] = (data, features, target, split, model, statistics, software)
    return "\n\n".join(part(document, run) for part in parts)


def data(document: Document, run: Run) -> str:
    """Who and how much."""
    claims, subjects = document["claims"], document["subjects"]
    folds = [fold for own in subjects.values() for fold in own["folds"]]
    minutes = sum(fold["duration_s"] for fold in folds) / 60
    channels = sorted({len(own) for meta in run.models for own in meta["feature_names"].values()})
    what = ("simulated " if claims["simulated"] else "") + activity(claims["modalities"])
    return (
        f"Data. We decoded speech from {what} of {plural(len(subjects), 'subject')}, with {span(channels)} feature "
        f"channels each. The test sound of {plural(len(folds), 'fold')} lasted {minutes:.1f} min."
    )


def features(_: Document, run: Run) -> str:
    """What the decoder reads."""
    align = run.config["align"]
    kinds = "; ".join(feature(own, align, run.config["causal"]) for own in align["features"])
    notch = f"notches of {align['notch_width_hz']:g} Hz at {align['line_noise_hz']:g} Hz and its harmonics"
    if not align["line_noise_hz"]:
        notch = "no notches"
    channels = " Flat and noisy channels were found and left out." if align["channels"]["find_bad"] else ""
    signals = f"Signals were taken {REFERENCES[align['reference']]}, with {notch}. "
    if align["features"][0]["kind"] == "given":
        signals = ""
    return f"Features. {signals}Features were {kinds}, at {align['feature_rate_hz']:g} Hz.{channels}"


def feature(own: Config, align: Config, causal: bool) -> str:
    """One kind of feature; of a plug-in its name and keys."""
    filters = "causal" if causal else "zero-phase"
    if own["kind"] == "band_envelope":
        bands = " and ".join(f"{low:g}-{high:g} Hz" for low, high in own["bands"])
        log = "the logarithm of " if own["log"] else ""
        return (
            f"{log}the mean amplitude of {bands} over {1000 * own['frame_length_s']:g} ms ({filters} Butterworth "
            f"filters of order {own['filter_order']}, magnitude of the analytic signal)"
        )
    if own["kind"] == "low_pass":
        return f"the signal below {own['cutoff_hz']:g} Hz ({filters} Butterworth filter of order {own['filter_order']})"
    if own["kind"] == "signal":
        high_hz = own["high_hz"] or 0.4 * align["feature_rate_hz"]
        return f"the signal itself from {own['low_hz']:g} to {high_hz:g} Hz ({filters} filters)"
    if ":" in own["kind"]:
        keys = ", ".join(f"{name} {value}" for name, value in own.items() if name != "kind")
        return f"those of the plug-in {own['kind']}{f' ({keys})' if keys else ''}"
    return "those of the recordings as given"


def target(_: Document, run: Run) -> str:
    """What is predicted."""
    mel = run.config["mel"]
    framing = {"tacotron2": "Tacotron 2", "hifigan": "HiFi-GAN"}[mel["flavor"]]
    return (
        f"Target. Sound at {mel['sample_rate_hz']} Hz became a log-mel spectrogram (natural logarithm of the "
        f"magnitude, {mel['n_mels']} bands on Slaney's scale, {mel['fmin_hz']:g} to {mel['fmax_hz']:g} Hz, FFT of "
        f"{mel['n_fft']} and hop of {mel['hop_length']} samples: {mel['sample_rate_hz'] / mel['hop_length']:.1f} "
        f"frames per second, framed as in {framing})."
    )


def split(document: Document, run: Run) -> str:
    """What was held out, and that nothing leaked."""
    own, claims, audit = run.config["split"], document["claims"], document["audit"]
    order = ", each trained on what came before it" if own["order"] == "chronological" else ""
    inner = ", another part for each network of a model" if own.get("inner_folds", 1) > 1 else ""
    shared = {True: "no raw sample was shared", None: "shared samples were not counted"}.get(audit["passed"], "LEAK")
    return (
        f"Split. {own['folds']}-fold cross-validation held out "
        f"{SPLITS[own['by']]}{order}{' (one fold was run: a first look)' if is_first_look(document) else ''}. "
        f"{100 * own['validation_fraction']:g} % of the data were for validation{inner}. Between training, validation "
        f"and test lay {claims['purge_gap_s']:.2f} s or more, context and filters included; {shared} in an audit "
        f"of all folds. {NORMALISATIONS[claims['normalisation']]}. The test was used for prediction alone."
    )


def is_first_look(document: Document) -> bool:
    """Whether one fold stands for all."""
    return any(limit["limit"] == "one_fold" for limit in document["claims"]["limits"])


def model(document: Document, run: Run) -> str:
    """The decoder and what it is compared with."""
    config, metas = run.config, run.models
    window, train, causal = config["window"], config["train"], config["causal"]
    weights = {name: fmean(m["ensemble_weights"][name] for m in metas) for name in metas[0]["ensemble_weights"]}
    networks = [name for name in weights if name != "ridge"]
    corrected = sum("corrector" in name for name in networks)
    decoder = "autoregressive decoder" if config["model"].get("feedback", True) else "decoder without feedback"
    in_one_pass = all("algorithmic_latency_ms" in own for own in document["subjects"].values())
    joined = "in one pass over each stretch" if in_one_pass else "stitched from overlapping windows"
    listed = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    before = sorted({m["init_from"]["model"][:16] for m in metas if m.get("init_from")})
    network, attention = "sequence-to-sequence network", " and attention"
    kind = f"convolutional and recurrent encoder, attention, {decoder}"
    if plugin := config["model"].get("network"):
        network, attention, kind = "network", "", f"of the plug-in {plugin}"
    sides = f"before it, with causal filters{attention}" if causal else "before and after it"
    started = f", from the weights of {plural(len(before), 'earlier model')} ({', '.join(before)})" if before else ""
    return (
        f"Model. {plural(len(networks), network)} ({kind}; "
        f"preset {' and '.join(sorted({m['preset'] for m in metas}))}; "
        f"{corrected} correcting the ridge regression) mapped windows of {window['length_s']:g} s, with "
        f"{window['context_s']:g} s {sides}, to the spectrogram. They were trained "
        f"{'on all subjects together' if train['pool'] == 'subjects' else 'per subject'}{started} (AdamW, "
        f"learning rate {train['lr']:g}, batches of {train['batch_size']}, loss {train['loss']}, "
        f"seed {train['seed']}), and stopped on the free-running loss of the validation part. Networks and ridge were "
        f"averaged with weights from validation (mean over folds: {listed}). Predictions were free-running, {joined}. "
        "The ridge regression, with one penalty for all bands, chosen by cross-validation over training "
        "and validation frames, the mean spectrum, the mean word and the predicted loudness envelope are baselines."
    )


def statistics(document: Document, run: Run) -> str:
    """Scores, chance and claims."""
    chance, evaluate = document["summary"]["chance"], run.config["evaluate"]
    drawn = f"{chance['test'] or 'no test'}, {chance['independent'] or 'no'} independent draws"
    speech = {"energy": "by energy", "events": "by annotated events"}[evaluate["speech_frames"]]
    vocoder = document["summary"]["model"]["stoi_vocoder"]
    stoi = f", STOI of sound by {vocoder}" if vocoder else ""
    return (
        "Statistics. Pearson's r was taken over time within each band and averaged over bands, folds and subjects, "
        f"on all frames and on speech frames ({speech}). Chance was drawn per subject with all folds together, after "
        f"slow drift (a running mean of 4 s) came off predictions and targets: {drawn}; p = (1 + number of draws "
        "that reach r) / (1 + draws). Levels of a claim (timing, loudness, beyond loudness, content) were tested in "
        f"this order, each at {chance['alpha']:g}; over subjects: {document['claims']['group']}. Intervals are "
        f"bootstraps of pieces of test sound ({evaluate['bootstrap']} resamples). Errors were scored as they are and "
        f"after a gain and an offset per band fitted on validation blocks{stoi}."
    )


def software(_: Document, run: Run) -> str:
    """What it was made with."""
    listed = ", ".join(f"{package} {' and '.join(own)}" for package, own in run.versions.items())
    return f"Software. seeg-to-audio with {listed}."


def plural(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'s' * (count != 1)}"


def span(values: Sequence[int]) -> str:
    """The range of some numbers."""
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"
