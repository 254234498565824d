"""A model of one subject as ONNX graphs, for a runtime that knows no torch.

A causal model has two, ``begin`` (rows of the context -> state) and ``step`` (rows of a step, state -> mel, state); one
that looks ahead has one, ``window`` (rows of a window with its context -> mel).  Weights, the ridge and all
normalisation by training frames are inside; rows are in raw units, (1, row, column of the subject).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.onnx import symbolic_helper

from pipeline.errors import InputError, Problem
from pipeline.model.ensemble import Ensemble
from pipeline.model.network import BandPower, Decoder
from pipeline.model.roll_out import EnsembleStepper, State

if TYPE_CHECKING:
    import onnxruntime

OPSET = 17
PARITY = 1e-4  # largest difference of the graphs' mel from torch's, as a share of its standard deviation
_TRIED_STEPS = 25


@dataclass(frozen=True)
class Graphs:
    """Serialised ONNX by name; for ``step`` the names of the parts of its state, with shapes.

    ``difference`` is the largest from torch's mel on made-up rows, as a share of its standard deviation.
    """

    files: dict[str, bytes]
    state: dict[str, tuple[int, ...]]
    difference: float


def of_subject(model: Ensemble, subject: int) -> Ensemble:
    """A copy for one of its subjects, or sessions, without what it knows of the others."""
    alone, only = deepcopy(model).eval(), slice(subject, subject + 1)
    for network in alone.networks:
        if isinstance(network.decoder, Decoder):  # torch.onnx needs a number
            network.decoder.feedback = float(network.decoder.feedback)  # type: ignore[assignment]
        if network.input_layer is not None:
            network.input_layer = nn.Parameter(network.input_layer[only])
        network.feature_mean, network.feature_scale = network.feature_mean[only], network.feature_scale[only]
        if network.a.n_subjects > 1:
            network.mel_mean, network.mel_scale = network.mel_mean[only], network.mel_scale[only]
        if network.has_channel is not None and isinstance(network.front_end, BandPower):
            had = network.has_channel[subject].repeat_interleave(network.a.band_filters)
            network.front_end.gain = nn.Parameter(network.front_end.gain * had)
            network.has_channel = None
        for name, values in () if network.skip is None else list(network.skip.named_buffers()):
            setattr(network.skip, name, values[only])
    return alone


class _Begin(nn.Module):
    def __init__(self, stepper: EnsembleStepper) -> None:
        super().__init__()
        self.stepper = stepper

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        states = self.stepper.begin(_padded(rows, self.stepper.model), torch.zeros(1, dtype=torch.long))
        return tuple(part for _, part in _parts(states))


class _Step(nn.Module):
    """``example`` is a state: its empty parts stay as they are."""

    def __init__(self, stepper: EnsembleStepper, example: Sequence[State]) -> None:
        super().__init__()
        self.stepper, self.example = stepper, example

    def forward(self, rows: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip((name for name, _ in _parts(self.example)), parts, strict=True))
        states = [
            State(*(given.get(_name(i, field), getattr(state, field)) for field in State._fields))
            for i, state in enumerate(self.example)
        ]
        mel, after = self.stepper(_padded(rows, self.stepper.model), states)
        return (mel, *(part for _, part in _parts(after)))


class _Window(nn.Module):
    def __init__(self, model: Ensemble) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: Tensor) -> Tensor:
        return self.model.generate(_padded(rows, self.model), torch.zeros(1, dtype=torch.long)).mel


def _name(network: int, field: str) -> str:
    return f"{field}_{network}"


def _parts(states: Sequence[State]) -> list[tuple[str, Tensor]]:
    """The parts of states that hold anything, with names; the subject is no state."""
    named = ((_name(i, f), part) for i, s in enumerate(states) for f, part in s._asdict().items() if f != "subject")
    return [(name, part) for name, part in named if part.numel()]


def _padded(rows: Tensor, model: Ensemble) -> Tensor:
    """Columns that the subject lacks, zero."""
    return F.pad(rows, (0, model.a.n_channels - int(rows.shape[2])))


@torch.inference_mode()
def step_graphs(model: Ensemble, n_columns: int) -> Graphs:
    """``begin`` and ``step`` of a causal model of one subject, compared with torch.  Raises :class:`InputError`."""
    a, stepper = model.a, EnsembleStepper(model).eval()
    rng = torch.Generator().manual_seed(0)
    context = _drawn(model, a.context_frames * a.rows_per_frame, n_columns, rng)
    begin = _Begin(stepper).eval()
    states = stepper.begin(_padded(context, model), torch.zeros(1, dtype=torch.long))
    first = dict(_parts(states))
    step = _Step(stepper, states).eval()
    rows = _drawn(model, stepper.step_frames * a.rows_per_frame, n_columns, rng)
    after = [f"{name}_after" for name in first]
    files = {
        "begin": _onnx(begin, (context,), ["rows"], list(first)),
        "step": _onnx(step, (rows, *first.values()), ["rows", *first], ["mel", *after]),
    }
    tried = [_drawn(model, len(rows[0]), n_columns, rng) for _ in range(_TRIED_STEPS)]
    difference = _step_difference(files, begin, step, context, tried)
    return _checked(Graphs(files, {name: tuple(part.shape) for name, part in first.items()}, difference))


@torch.inference_mode()
def window_graph(model: Ensemble, n_columns: int) -> Graphs:
    """``window`` of a model that looks ahead, compared with torch.  Raises :class:`InputError`."""
    a, rng = model.a, torch.Generator().manual_seed(0)
    rows = _drawn(model, (a.length_frames + 2 * a.context_frames) * a.rows_per_frame, n_columns, rng)
    window = _Window(model).eval()
    files = {"window": _onnx(window, (rows,), ["rows"], ["mel"])}
    expected, (found,) = window(rows).numpy(), _session(files["window"]).run(None, {"rows": rows.numpy()})
    return _checked(Graphs(files, {}, float(np.abs(found - expected).max() / expected.std())))


def _drawn(model: Ensemble, n_rows: int, n_columns: int, rng: torch.Generator) -> Tensor:
    """Rows like those of training frames."""
    network = model.networks[0]
    drawn = torch.randn(1, n_rows, n_columns, generator=rng)
    return drawn * network.feature_scale[:, :n_columns] + network.feature_mean[:, :n_columns]


def _onnx(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str]) -> bytes:
    """The graph by tracing.

    torch's other exporter takes 10 to 50 times as long, gives graphs that are no faster, and writes folders of this
    machine into them.
    """
    out = io.BytesIO()
    torch.onnx.register_custom_op_symbolic("aten::diff", _difference, OPSET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module,
                inputs,
                out,  # type: ignore[arg-type]  # a buffer is taken, too
                dynamo=False,
                opset_version=OPSET,
                input_names=names,
                output_names=outputs,
            )
        except torch.onnx.errors.OnnxExporterError as error:  # of a plug-in's operators
            got, fix = str(error).splitlines()[0], "Write the network with operators that ONNX has"
            raise InputError(Problem("export", "model.network", got, "operators that ONNX has", fix)) from error
    return out.getvalue()


@symbolic_helper.parse_args("v", "i", "i", "v", "v")
def _difference(g: Any, x: Any, order: int, axis: int, before: Any, after: Any) -> Any:
    """``torch.diff`` in ONNX, which the exporter does not know."""
    if order != 1 or not after.node().mustBeNone():
        raise torch.onnx.errors.OnnxExporterError("torch.diff of higher order, or with an end")
    if not before.node().mustBeNone():
        x = g.op("Concat", before, x, axis_i=axis)
    ends = [[g.op("Constant", value_t=torch.tensor([i])) for i in span] for span in ((1, 2**62, axis), (0, -1, axis))]
    later, earlier = (g.op("Slice", x, *span) for span in ends)
    return g.op("Sub", later, earlier)


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def _step_difference(
    files: dict[str, bytes], begin: _Begin, step: _Step, context: Tensor, tried: Sequence[Tensor]
) -> float:
    runtime = _session(files["step"])
    state = _session(files["begin"]).run(None, {"rows": context.numpy()})
    names = [name for name, _ in _parts(step.example)]
    parts, expected, found = begin(context), [], []
    for rows in tried:
        mel, *parts = step(rows, *parts)
        own, *state = runtime.run(None, {"rows": rows.numpy(), **dict(zip(names, state, strict=True))})
        expected.append(mel.numpy())
        found.append(own)
    return float(np.abs(np.subtract(found, expected)).max() / np.std(expected))


def _checked(graphs: Graphs) -> Graphs:
    if not graphs.difference <= PARITY:
        got = f"a mel that differs from torch's by {graphs.difference:.1g} of its standard deviation"
        raise InputError(Problem("export", "onnx", got, f"at most {PARITY:g}", "Try another version of onnxruntime"))
    return graphs
