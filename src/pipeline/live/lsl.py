"""Lab Streaming Layer: a stream of samples as a source, mel and sound as streams of their own; pylsl.

A configuration file (:func:`write_loopback`) keeps discovery on this machine; liblsl reads it once, before its first
stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.files import write_text
from pipeline.errors import InputError, Problem
from pipeline.live.stream import Chunk, StreamLostError

Array = NDArray[np.float32]
RESOLVE_S = 5.0
LOOPBACK = """\
; Streams of this machine alone: LSLAPICFG=THIS_FILE for other programs.
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
ListenAddress = 127.0.0.1
AddressesOverride = {127.0.0.1}
[lab]
KnownPeers = {127.0.0.1}
SessionID = seeg-to-audio-loopback
[log]
level = -3
"""


def _pylsl() -> ModuleType:
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:  # RuntimeError: no liblsl
        got, fix = str(error).splitlines()[0][:120], 'pip install "seeg-to-audio[live]"'
        raise InputError(Problem("--lsl", "", got, "pylsl with its liblsl", fix)) from error
    return pylsl


def write_loopback(path: Path) -> None:
    """Write a configuration that keeps streams on this machine, and use it in this process."""
    write_text(path, LOOPBACK)
    _pylsl().set_config_filename(str(path.absolute()))


class LslSource:
    """The stream of a name.  Channels are named by their labels; what is lost is looked for under the same name.

    Time stamps are brought to this machine's clock, :meth:`now`, by what LSL measures of the sender's; where that does
    not answer, they are the sender's, which ``say`` is told.

    Raises :class:`InputError` where there is no such stream, several, or one that does not answer, without labels or
    without a nominal rate.
    """

    names: Sequence[str]
    rate_hz: float

    def __init__(self, name: str, resolve_s: float = RESOLVE_S, say: Callable[[str], None] = print) -> None:
        self.name, self._say, self._lsl = name, say, _pylsl()
        found = self._lsl.resolve_byprop("name", name, 2, resolve_s) or self._lsl.resolve_byprop("name", name, 1, 0.1)
        if len(found) != 1:
            others = ", ".join(sorted({info.name() for info in self._lsl.resolve_streams(1.0)})) or "none at all"
            got, fix = f"{len(found)} streams of this name", f"Name one of the streams there: {others}"
            raise InputError(Problem("--lsl", "", f"{got}: {name}", "one stream", fix))
        try:
            self._open(found[0])
        except StreamLostError as error:
            fix = "Start the stream again, or let its TCP port through the firewall"
            raise InputError(Problem("--lsl", "", f"no answer of {name}", "a stream that answers", fix)) from error

    def _open(self, found: object) -> None:
        late = self._lsl.util.TimeoutError
        try:
            self._connect(found, self._lsl.proc_clocksync)
            info = self._inlet.info(RESOLVE_S)
            try:
                self._inlet.time_correction(RESOLVE_S)  # the first one takes long: before samples come
            except late:
                self._say(f"the clock of {self.name} does not answer (UDP): time stamps are the sender's")
                self._connect(found, self._lsl.proc_none)  # with the other flag no chunk would come
            self._inlet.open_stream(RESOLVE_S)
        except (self._lsl.util.LostError, late) as error:
            raise StreamLostError(self.name) from error
        self.rate_hz = float(info.nominal_srate())
        self.names = _labels(info)
        if not self.names or self.rate_hz <= 0:
            got = "no labels of channels" if not self.names else "an irregular rate"
            fix = "Describe the stream: desc/channels/channel/label, and its nominal rate"
            raise InputError(Problem("--lsl", self.name, got, "named channels at a nominal rate", fix))

    def _connect(self, found: object, flags: int) -> None:
        self._inlet = self._lsl.StreamInlet(found, max_buflen=1, recover=False, processing_flags=flags, as_numpy=True)

    def read(self) -> Chunk:
        try:
            samples, times_s = self._inlet.pull_chunk(timeout=0.1, min_samples=1)
        except self._lsl.util.LostError as error:
            raise StreamLostError(self.name) from error
        return Chunk(np.asarray(samples).reshape(-1, len(self.names)), np.asarray(times_s, np.float64))

    def now(self) -> float:
        """LSL's clock on this machine [s]."""
        return float(self._lsl.local_clock())

    def reconnect(self) -> None:
        found = self._lsl.resolve_byprop("name", self.name, 1, 0.5)
        if not found:
            raise StreamLostError(self.name)
        self._open(found[0])


def _labels(info: object) -> list[str]:
    names, channel = [], info.desc().child("channels").child("channel")  # type: ignore[attr-defined]
    while not channel.empty():
        names.append(channel.child_value("label"))
        channel = channel.next_sibling("channel")
    return names if len(names) == info.channel_count() and all(names) else []  # type: ignore[attr-defined]


class LslSink:
    """Two streams, ``NAME-mel`` (band) [nats] and ``NAME-sound``; mel stamps are when a frame came out."""

    def __init__(self, name: str, n_bands: int, frame_rate_hz: float, sound_rate_hz: int) -> None:
        lsl = _pylsl()
        mel = lsl.StreamInfo(f"{name}-mel", "Mel", n_bands, frame_rate_hz, lsl.cf_float32, f"{name}-mel")
        sound = lsl.StreamInfo(f"{name}-sound", "Audio", 1, sound_rate_hz, lsl.cf_float32, f"{name}-sound")
        self._mel, self._sound = (lsl.StreamOutlet(info, 0, 10) for info in (mel, sound))

    def write(self, mel: Array, sound: Array) -> None:
        for outlet, values in ((self._mel, mel), (self._sound, sound[:, None])):
            if len(values):
                outlet.push_chunk(np.ascontiguousarray(values, np.float32))

    def close(self) -> None:
        del self._mel, self._sound
