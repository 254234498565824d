"""All features of a recording side by side, as the stage align writes them.

In: a reader of ``(samples, channels)`` float32, re-referenced and finite, and the frames' times on the
neural clock.  Out: blocks ``(frames, columns)`` float32, entry by entry of ``align.features``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np

from pipeline import plugins
from pipeline.config.align import AlignConfig
from pipeline.config.mel_grid import MelGrid
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.signal.blocks import Reader, read_only
from pipeline.signal.features import band_envelope, given, low_pass, signal  # noqa: F401  (a kind is known once imported)
from pipeline.signal.features.base import Blocks, FeatureKind, Sampling, Stream


class Features:
    """The entries of ``align.features`` for recordings at ``rate_hz``.

    Raises :class:`InputError` where one of them cannot be made at that rate.
    """

    def __init__(self, config: AlignConfig, grid: MelGrid, rate_hz: float) -> None:
        sampling = Sampling(
            rate_hz, config.feature_rate_hz, grid.frame_rate_hz, config.line_noise_hz, config.notch_width_hz
        )
        self.kinds = _made(config, sampling)
        self.rate_hz = rate_hz

    def names(self, channels: Sequence[str]) -> list[str]:
        """Names of the columns: the channels', with a label where there are several."""
        labels = [label for kind in self.kinds for label in kind.labels]
        if len(labels) == 1:
            return list(channels)
        return [f"{channel} {label}" for label in labels for channel in channels]

    def units(self, of_signal: str, n_channels: int) -> list[str]:
        """Unit of each column."""
        return [unit for kind in self.kinds for unit in [kind.units(of_signal)] * len(kind.labels) * n_channels]

    def support_s(self, causal: bool) -> tuple[float, float]:
        """How far a frame depends on samples before and after its time: ``(past_s, future_s)``."""
        past_s, future_s = zip(*(_support_s(kind, causal) for kind in self.kinds), strict=True)
        return max(past_s), max(future_s)

    def blocks(self, read: Reader, n_samples: int, frame_times_s: np.ndarray, causal: bool, threads: int = 1) -> Blocks:
        """Rows ``start`` onwards, ``(start, (frames, columns))`` float32, at the wanted times.

        Args:
            read: gives ``(samples, channels)`` of the recording, finite.
            n_samples: its length.
            frame_times_s: increasing times on the neural clock, within the recording; what a filter wants
                beyond the recording's ends is continued from inside it.
            causal: filter forwards only and average over past samples only.
            threads: that share the channels of zero-phase filters; the result is the same to the bit.

        Raises:
            InputError: (later, as blocks are made) a channel is not finite.
            ValueError: times that do not increase or lie outside the recording.
        """
        _check_times(frame_times_s, n_samples, self.rate_hz)
        frame_times_s = read_only(frame_times_s)
        parts = [
            _of_plugin(kind, made, len(frame_times_s), read) if plugins.is_reference(kind.keys.kind) else made
            for kind in self.kinds
            for made in [kind.blocks(read, n_samples, frame_times_s, causal, threads)]
        ]
        return ((start, self._finite(block)) for start, block in _side_by_side(parts))

    def stream(self, times_s: Callable[[int, int], np.ndarray]) -> FeatureStream:
        """The causal columns at the times of frames ``start`` to ``stop``, as samples come in."""
        return FeatureStream(self.kinds, [kind.stream(times_s) for kind in self.kinds])

    def amplitudes(self, block: np.ndarray) -> np.ndarray:
        """The block with the magnitude of columns that are signals, as the estimate of the lag takes them."""
        signed = [kind.signed for kind in self.kinds for _ in kind.labels]
        columns = np.repeat(signed, block.shape[1] // len(signed))
        return np.where(columns, np.abs(block), block) if columns.any() else block

    def _finite(self, frames: np.ndarray) -> np.ndarray:
        """The frames.  Raises :class:`InputError` where one is NaN or infinite."""
        finite = np.isfinite(frames)
        if not finite.all():
            by_channel = finite.reshape(len(frames), sum(len(kind.labels) for kind in self.kinds), -1).all(axis=(0, 1))
            got = f"NaN or infinity in {int((~by_channel).sum())} channel(s)"
            fix = "repair the recording, or let align.channels.find_bad leave such channels out"
            raise InputError(Problem("recording", "samples", got, "finite numbers", fix))
        return frames


class FeatureStream:
    """Columns of several streams side by side: a frame is there when all of them have it."""

    def __init__(self, kinds: Sequence[FeatureKind[Any]], parts: Sequence[Stream]) -> None:
        self._kinds, self._parts = kinds, parts
        self._held: list[np.ndarray] | None = None

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The frames ``(frames, columns)`` float32 that ``samples`` ``(samples, channels)``, finite, complete."""
        samples = read_only(samples)
        new = [part.push(samples) for part in self._parts]
        new = [_block(kind, block, samples.shape[1]) for kind, block in zip(self._kinds, new, strict=True)]
        held = new if self._held is None else [np.concatenate(pair) for pair in zip(self._held, new, strict=True)]
        n = min(map(len, held))
        self._held = [block[n:] for block in held]
        return np.concatenate([block[:n] for block in held], axis=1)


def _made(config: AlignConfig, sampling: Sampling) -> list[FeatureKind[Any]]:
    """The feature of each entry; what is wrong with any of them is raised at once."""
    kinds, problems = [], []
    for keys in config.features:
        try:
            kinds.append(FeatureKind.of(keys, sampling))
            if plugins.is_reference(keys.kind) and not isinstance(kinds[-1].units("µV"), str):
                raise _unlike(kinds[-1], "units that are no text", "the unit of the feature")
        except InputError as error:
            problems += error.problems
    raise_if_any(problems)
    return kinds


def _of_plugin(kind: FeatureKind[Any], blocks: Blocks, n_frames: int, read: Reader) -> Blocks:
    """The blocks of a plug-in.  Raises :class:`InputError` where they are not the wanted frames in order."""
    n_channels, filled = read(0, 1).shape[1], 0
    for item in blocks if isinstance(blocks, Iterable) else [blocks]:
        if not (isinstance(item, tuple) and len(item) == 2):
            raise _unlike(kind, f"a {type(item).__name__} of blocks", "pairs (start, block)")
        start, block = item
        if start != filled:
            raise _unlike(kind, f"row {start} after {filled} rows", "blocks in the order of time, none left out")
        made = _block(kind, block, n_channels)
        filled += len(made)
        if filled > n_frames:
            break
        yield start, made
    if filled != n_frames:
        raise _unlike(kind, f"{filled} frames", f"{n_frames} frames")


def _block(kind: FeatureKind[Any], block: object, n_channels: int) -> np.ndarray:
    """A block of frames; a plug-in's is checked, and copied, since its memory is its own."""
    if not plugins.is_reference(kind.keys.kind):
        return cast(np.ndarray, block)
    made, n_columns = np.asarray(block), len(kind.labels) * n_channels
    if made.ndim != 2 or made.shape[1] != n_columns or made.dtype.kind not in "fiu":
        raise _unlike(kind, f"a block {made.shape} of {made.dtype}", f"(frame, {n_columns}) of float32")
    with np.errstate(over="ignore"):
        made = made.astype(np.float32)
    if not np.isfinite(made).all():
        raise _unlike(kind, "NaN or infinity, of finite samples", "finite numbers")
    return made


def _support_s(kind: FeatureKind[Any], causal: bool) -> tuple[float, float]:
    """As the kind has it.  Raises :class:`InputError` where a plug-in's is no time: the purge gap follows from it."""
    support_s = kind.support_s(causal)
    if plugins.is_reference(kind.keys.kind):
        times_s = support_s if isinstance(support_s, tuple) else ()
        known = [isinstance(t, int | float | np.number) and 0 <= t < math.inf for t in times_s]
        if known != [True, True] or (causal and times_s[1] > 0):
            expected = "(past_s, 0) of a causal feature" if causal else "(past_s, future_s), finite and not below 0"
            raise _unlike(kind, f"a support of {support_s!r:.80}", expected)
    return support_s


def _unlike(kind: FeatureKind[Any], got: str, expected: str) -> InputError:
    return InputError(
        Problem("plug-in", str(kind.keys.kind), got, expected, "Mend the class as docs/own_feature.md says")
    )


def _side_by_side(parts: Sequence[Blocks]) -> Iterator[tuple[int, np.ndarray]]:
    """Columns of all parts, in the pieces of the part whose next block is shortest."""
    if len(parts) == 1:
        yield from parts[0]
        return
    held, start = [next(part, (0, None))[1] for part in parts], 0
    while all(block is not None for block in held):
        blocks = [block for block in held if block is not None]
        n = min(map(len, blocks))
        yield start, np.concatenate([block[:n] for block in blocks], axis=1)
        start += n
        held = [b[n:] if len(b) > n else next(part, (0, None))[1] for b, part in zip(blocks, parts, strict=True)]


def _check_times(frame_times_s: np.ndarray, n_samples: int, rate_hz: float) -> None:
    """Refuse times that do not increase or lie outside the recording (by more than rounding)."""
    end_s = (n_samples - 1) / rate_hz
    if n_samples < 2:
        raise ValueError(f"a recording of {n_samples} samples has no features")
    if len(frame_times_s) and (frame_times_s[0] < -1e-6 or frame_times_s[-1] > end_s + 1e-6):
        raise ValueError(
            f"frame times {frame_times_s[0]:.6f}...{frame_times_s[-1]:.6f} s reach outside the recording, "
            f"0...{end_s:.6f} s"
        )
    if np.any(np.diff(frame_times_s) <= 0):
        raise ValueError("frame times do not increase")
