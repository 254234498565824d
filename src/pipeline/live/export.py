"""``python -m pipeline export``: a folder with which a model runs where neither torch nor this package is.

ONNX graphs (:mod:`pipeline.live.graph`), ``filters.npz``, ``normalisation.npz``, ``settings.json``, ``MODEL_CARD.md``
and ``consumer.py``, a short script that decodes with them (of a causal model by ``decoder.py``).  Nothing in it names a
folder of this machine.
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import paths
from pipeline.artifacts.aligned import AlignedInfo
from pipeline.config.ensemble import ModelSettings
from pipeline.data.groups import WHOLE, group_index, model_groups
from pipeline.errors import InputError, Problem
from pipeline.live.card import model_card, scores_of
from pipeline.live.decoder import LiveDecoder
from pipeline.live.folder import write_folder
from pipeline.live.graph import Graphs, of_subject, step_graphs, window_graph
from pipeline.live.montage import Montage, montage_session, refuse_other_mel
from pipeline.model.ensemble import Ensemble
from pipeline.model.model_file import load_model, model_digest
from pipeline.run.plan import Plan
from pipeline.signal.features.band_envelope import BandEnvelope
from pipeline.signal.features.base import FeatureKind
from pipeline.signal.features.given import Given
from pipeline.signal.features.low_pass import LowPass
from pipeline.signal.features.signal import BandLimitedSignal
from pipeline.signal.frame_power import edge_rows
from pipeline.signal.framing import FrameStream, Framing
from pipeline.signal.mel import mel_filter_bank
from pipeline.signal.normalisation import SETTLE_S, Running
from pipeline.vocoder.streaming import LOOK_AHEAD

CONSUMERS = Path(__file__).with_name("consumer")
#: What is written beside a model that is causal, and beside one that is not.
_SCRIPTS = {True: {"consumer.py": "stream.py", "decoder.py": "decoder.py"}, False: {"consumer.py": "windows.py"}}
KINDS = (BandEnvelope, LowPass, BandLimitedSignal, Given)  # which the consumer of a causal model can compute
Arrays = dict[str, np.ndarray]


def export(plan: Plan, model_file: Path, out: Path, session: str | None, licence: str | None) -> str:
    """Write the folder ``out``; returns a line on what is in it.

    ``session`` is the aligned session whose montage the model gets, by default the last of those it was trained on.
    Raises :class:`InputError` where there is none that fits, or ``out`` holds anything but an earlier export.
    """
    _refuse_without_extra()
    model, meta = load_model(model_file)
    info = montage_session(meta, session)
    config = ModelSettings.model_validate(meta["config"])
    refuse_other_mel(plan.config.mel, meta)
    group = group_index(model_groups(meta), info.subject, session or WHOLE)
    names = meta["feature_names"][info.subject]
    montage = Montage.of_session(paths.aligned(info.session), names, may_look_ahead=not config.causal)
    alone = of_subject(model, group)
    settings: dict[str, Any] = _common(plan, montage, info) | {"model": model_digest(model), "columns": names}
    arrays = {
        "reference": _reference(montage),
        "columns": montage.columns,
        "mel_filter_bank": mel_filter_bank(plan.config.mel),
    }
    if config.causal:
        graphs, own, filters = _steps(alone, config, montage)
        arrays |= filters
    else:
        front_end = meta.get("front_ends", {}).get(info.subject)
        features = front_end["settings"]["align"] if front_end else plan.config.align.model_dump(mode="json")
        graphs, own = _windows(alone, config, features, meta["hop_frames"], len(names))
    settings |= own | {"difference_from_torch": graphs.difference}
    scores = scores_of(model_file, settings["model"], info.subject)
    card = model_card(settings, meta, plan.config.split.by, scores, licence)
    write_folder(
        out,
        {f"{name}.onnx": graph for name, graph in graphs.files.items()}
        | {"filters.npz": _npz(arrays), "normalisation.npz": _npz(_normalisation(alone, len(names)))}
        | {"settings.json": _json(settings), "MODEL_CARD.md": card.encode()}
        | {name: (CONSUMERS / source).read_bytes() for name, source in _SCRIPTS[config.causal].items()},
    )
    what = "step by step" if config.causal else "window by window"
    name = settings["model"][: paths.DIGEST_CHARACTERS]
    return f"model {name} of {info.subject}, {what}, montage of session {info.session}"


def _refuse_without_extra() -> None:
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        got, fix = f"no {' and no '.join(missing)}", 'pip install "seeg-to-audio[export]"'
        raise InputError(Problem("export", "", got, "onnx and onnxruntime", fix))


def _common(plan: Plan, montage: Montage, info: AlignedInfo) -> dict[str, Any]:
    """What both kinds of model say of themselves."""
    mel, vocode = (
        plan.config.mel,
        plan.config.vocode.model_dump(mode="json", exclude={"checkpoint", "checkpoint_config"}),
    )
    if plan.config.vocode.vocoder == "griffin_lim":
        vocode["look_ahead_frames"] = LOOK_AHEAD
    channels = [montage.names[i] for i in montage.reference.columns.tolist()]
    return {
        "schema": "seeg-to-audio/export/1",
        "subject": info.subject,
        "modality": info.modality,
        "channels": channels,
        "rate_hz": montage.rate_hz,
        "unit": montage.unit,
        "feature_rate_hz": montage.feature_rate_hz,
        "n_bands": mel.n_mels,
        "mel": mel.model_dump(mode="json"),
        "frame_rate_hz": mel.frame_rate_hz,
        "first_frame_s": mel.first_frame_s,
        "vocoder": vocode,
    }


def _steps(model: Ensemble, config: ModelSettings, montage: Montage) -> tuple[Graphs, dict[str, Any], Arrays]:
    """Graphs, settings and filters of a causal model."""
    decoder = LiveDecoder(model, config, montage)
    features, arrays = _features(montage.features.kinds)
    m, context = decoder.rows_per_frame, model.a.context_frames
    wanted = (decoder.first_frame - context) * m + np.arange(context * m)
    arrays["context_rows"] = edge_rows(wanted, max(0, decoder.first_frame - context) * m, 2**31, m)
    graphs = step_graphs(model, len(montage.columns))
    grid = config.mel
    longest = max(feature["taps"] for feature in features)
    between = montage.rate_hz * (1 / grid.frame_rate_hz + 1 / montage.feature_rate_hz)
    running = Running(1, grid.frame_rate_hz) if config.train.normalisation == "causal_running" else None
    settings = {
        "kind": "step",
        "features": features,
        "history": longest + math.ceil(between) + 2,
        "first_feature": decoder.first_feature,
        "first_frame": decoder.first_frame,
        "rows_per_frame": m,
        "step_frames": decoder.stepper.step_frames,
        "running": running and {"keep": running.keep, "settling_frames": int(SETTLE_S * grid.frame_rate_hz)},
        "state": graphs.state,
    }
    return graphs, settings, arrays


def _windows(
    model: Ensemble, config: ModelSettings, features: dict[str, Any], hop_frames: int, n_columns: int
) -> tuple[Graphs, dict[str, Any]]:
    """The graph and settings of a model that looks ahead; ``features`` are the settings of its columns."""
    a = model.a
    settings = {
        "kind": "window",
        "features": features,
        "rows_per_frame": a.rows_per_frame,
        "length_frames": a.length_frames,
        "context_frames": a.context_frames,
        "hop_frames": hop_frames,
        "normalised_by_recording": config.train.normalisation == "recording_unlabelled",
        "row_times": "first_frame_s + ((row + 0.5) / rows_per_frame - 0.5) / frame_rate_hz, nearest feature",
    }
    return window_graph(model, n_columns), settings


def _features(kinds: list[FeatureKind[Any]]) -> tuple[list[dict[str, Any]], Arrays]:
    """How the columns are made, all channels of one after another, and their filters as second-order sections."""
    features: list[dict[str, Any]] = []
    arrays: Arrays = {}
    for kind in kinds:
        if type(kind) not in KINDS:  # not those derived from them either: they may compute something else
            raise _unknown(kind)
        log = isinstance(kind, BandEnvelope) and kind.keys.log
        stream: Any = kind.stream(_no_times)
        stream = stream.frames if log else stream
        if isinstance(stream, FrameStream):
            features.append(_framing(stream.framing, envelope=False, log=log))
            continue
        for band in stream.filters:
            own = dict(
                zip((f"{name}{len(features)}" for name in ("leading", "lagging")), band.quadrature, strict=False)
            )
            arrays |= {f"band{len(features)}": band.band.sos} | {name: chain.sos for name, chain in own.items()}
            features.append(_framing(stream.frames.framing, envelope=bool(own), log=log))
    return features, arrays


def _no_times(start: int, stop: int) -> np.ndarray:
    return np.zeros(0)


def _framing(framing: Framing, *, envelope: bool, log: bool) -> dict[str, Any]:
    mean = framing.kernel is np.ones_like
    return {"envelope": envelope, "log": log, "taps": framing.taps, "shift": framing.shift, "mean": mean}


def _unknown(kind: FeatureKind[Any]) -> InputError:
    fix = "Train on band_envelope, low_pass, signal or given"
    return InputError(Problem("align.features", "kind", str(kind.keys.kind), "a feature that can be exported", fix))


def _reference(montage: Montage) -> np.ndarray:
    """(channel, output), the identity where channels are taken as they are."""
    matrix = montage.reference.matrix
    return np.eye(len(montage.reference.columns), dtype=np.float32) if matrix is None else matrix


def _normalisation(model: Ensemble, n_columns: int) -> Arrays:
    """What the graphs standardise by, for the record: (column,) of rows, (band,) of the mel."""
    network = model.networks[0]
    rows = {name: getattr(network, name)[0, :n_columns].numpy() for name in ("feature_mean", "feature_scale")}
    return rows | {"mel_mean": network.mel_mean.numpy().ravel(), "mel_scale": network.mel_scale.numpy().ravel()}


def _npz(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
