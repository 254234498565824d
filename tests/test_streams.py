"""Live streams and their faults, on sources that are made up, and through the Lab Streaming Layer on this machine."""

from __future__ import annotations

import importlib.util
import resource
import sys
import threading
import time
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.config.align import AlignConfig
from pipeline.config.mel import MelConfig
from pipeline.errors import CannotWriteError, InputError
from pipeline.live import stream
from pipeline.live.listen import listen
from pipeline.live.montage import Montage
from pipeline.live.sinks import ClockFile, MelSink, SoundDevice, WavSink
from pipeline.live.stream import Chunk, Description, Mending, Piece, StreamLostError
from pipeline.signal.features.stack import Features
from pipeline.signal.reference import Reference

RATE_HZ = 1000.0
NAMES = ("a", "b", "c")
needs_lsl = pytest.mark.skipif(
    importlib.util.find_spec("pylsl") is None, reason="pylsl is not installed: pip install pylsl"
)


def montage(names: Sequence[str] = NAMES) -> Montage:
    reference = Reference.build("none", list(names), [True] * len(names))
    features = Features(AlignConfig(), MelConfig(), RATE_HZ)
    return Montage(tuple(names), RATE_HZ, reference, features, 100.0, np.arange(len(names)))


class Listener:
    """What :class:`~pipeline.live.replay.Session` is to a stream: keeps the trials that it gets."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.decoder: Any = SimpleNamespace(montage=montage())
        self.trials: list[list[np.ndarray]] = []
        self.times_s: list[float | None] = []
        self.said: list[str] = []
        self.wait_s, self.finished, self.dropped, self.late_s = wait_s, False, 0, 0.0

    def reset(self) -> None:
        self.trials.append([])

    def push(self, chunk: np.ndarray, time_s: float | None) -> None:
        time.sleep(self.wait_s)
        self.trials[-1].append(chunk)
        self.times_s.append(time_s)

    def finish(self) -> None:
        self.finished = True

    def line(self) -> str:
        return "a line"

    def lengths(self) -> list[int]:
        return [sum(map(len, trial)) for trial in self.trials]

    def whole(self) -> np.ndarray:
        return np.concatenate([chunk for trial in self.trials for chunk in trial])


class Scripted:
    """A source that gives what it was told: chunks, waits [s], and faults."""

    names: Sequence[str] = NAMES
    rate_hz = RATE_HZ

    def __init__(self, *script: Any) -> None:
        self.script = list(script)

    def read(self) -> Chunk | None:
        item = self.script.pop(0) if self.script else None
        if isinstance(item, float):
            time.sleep(item)
            return Chunk(np.zeros((0, 3)))
        if isinstance(item, Exception):
            raise item
        return item

    def reconnect(self) -> None:
        item = self.script.pop(0)
        if isinstance(item, Exception):
            raise item
        self.names, self.rate_hz = item


def ramp(start: int, stop: int, clock: bool = True, rate_hz: float = RATE_HZ) -> Chunk:
    """Samples whose value is their number, + 0, 1000, 2000 by channel."""
    numbers = np.arange(start, stop)
    return Chunk(numbers[:, None] + [0.0, 1000.0, 2000.0], numbers / rate_hz if clock else None)


RAMPS = [ramp(i, i + 50) for i in range(0, 10000, 50)]


def heard(*script: Any, wait_s: float = 0.0, **options: Any) -> Listener:
    listener = Listener(wait_s)
    listen(listener, Scripted(*script), listener.said.append, **options)  # type: ignore[arg-type]
    assert listener.finished
    return listener


@pytest.mark.parametrize("clock", [True, False])
def test_a_whole_stream_is_one_trial(clock: bool) -> None:
    listener = heard(ramp(0, 100, clock), ramp(100, 350, clock))
    assert listener.lengths() == [350]
    assert listener.times_s == ([0.099, 0.349] if clock else [None, None]), "of the last sample of each chunk"
    np.testing.assert_array_equal(listener.whole()[:, 0], np.arange(350))
    assert listener.said == []


def test_a_stall_is_said_and_its_gap_begins_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.live.listen.STALL_S", 0.15)
    for clock in (True, False):
        listener = heard(ramp(0, 50, clock), 0.3, ramp(350, 400, clock))
        assert listener.lengths() == [50, 50]
        assert any("silence until they come" in text for text in listener.said)
        assert any("samples again, after" in text for text in listener.said)


def test_few_dropped_samples_are_bridged_once_it_is_sure_that_they_stay_away() -> None:
    said: list[str] = []
    _, pieces = mended([ramp(i, i + 50) for i in [*range(0, 3000, 50), *range(3030, 6030, 50)]], said)
    assert said == ["30 samples are missing: bridged by the last one"]
    whole = np.concatenate([piece.samples for piece in pieces])
    assert len(whole) == 6030
    assert [piece.begins for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    (bridge,) = np.flatnonzero(np.convolve(np.diff(whole[:, 0]) == 0, np.ones(30), "valid") == 30)
    assert 900 <= bridge - 3000 <= 1100, "a second later, with its last sample"


def test_chunks_that_come_late_are_no_gap() -> None:
    rng, said = np.random.default_rng(0), list[str]()
    late = [chunk._replace(times_s=chunk.times_s + rng.uniform(0, 0.08)) for chunk in RAMPS]  # type: ignore[operator]
    _, pieces = mended(late, said)
    assert said == []
    assert sum(len(piece.samples) for piece in pieces) == 10000


def test_many_dropped_samples_begin_a_trial() -> None:
    listener = heard(ramp(0, 50), ramp(400, 450))
    assert listener.lengths() == [50, 50]
    assert listener.said == ["a gap in the stream's time: a trial begins"]


def test_time_that_goes_back_begins_a_trial() -> None:
    assert heard(ramp(500, 550), ramp(0, 50)).lengths() == [50, 50]


def mended(chunks: Sequence[Chunk], said: list[str] | None = None) -> tuple[Mending, list[Piece]]:
    """What becomes of chunks when none of them waits."""
    mending = Mending(montage(), Description(NAMES, RATE_HZ), [].append if said is None else said.append)
    return mending, [piece for chunk in chunks for piece in mending.pieces(chunk)]


@pytest.mark.parametrize("rate_hz", [800.0, 1024.0, 2000.0])
def test_another_rate_ends_the_decoding(rate_hz: float) -> None:
    chunks = [ramp(i, i + 50, rate_hz=rate_hz) for i in range(0, 30000, 50)]
    mending, _ = mended(chunks[:80])
    with pytest.raises(InputError, match=f"got {rate_hz:.0f}.* Hz, expected 1000 Hz, as in training"):
        for chunk in chunks[80:]:
            list(mending.pieces(chunk))


def test_a_clock_that_is_half_a_per_cent_off_is_no_other_rate() -> None:
    _, pieces = mended([ramp(i, i + 50, rate_hz=1005.0) for i in range(0, 20000, 50)])
    assert sum(len(piece.samples) for piece in pieces) == 20000


def test_without_a_clock_the_rate_is_that_of_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "RATE_OVER_S", 0.2)
    listener = Listener()
    script = [item for i in range(0, 2000, 100) for item in (ramp(i, i + 100, clock=False), 0.03)]
    with pytest.raises(InputError, match="1000 Hz, as in training"):
        listen(listener, Scripted(*script), listener.said.append)  # type: ignore[arg-type]
    assert listener.finished
    assert sum(listener.lengths()) > 0, "what was decoded before is kept"


def test_drops_that_are_bridged_are_no_other_rate() -> None:
    _, pieces = mended([ramp(i, i + 50) for i in range(0, 30000, 50) if i % 5000 != 50])
    assert sum(len(piece.samples) for piece in pieces) == pytest.approx(30000, abs=60)
    assert [piece.begins for piece in pieces] == [True] + [False] * (len(pieces) - 1)


def test_nan_is_bridged_and_much_of_it_ends_the_trial() -> None:
    few, many = ramp(0, 100), ramp(100, 400)
    few.samples[40:60, 1] = np.nan
    many.samples[50:250, 2] = np.inf
    listener = heard(few, many)
    assert listener.lengths() == [250, 50]
    assert listener.times_s == [0.099, 0.249, 0.399], "of the last sample that is whole or bridged"
    whole = listener.whole()
    np.testing.assert_array_equal(whole[40:60, 1], 1039.0)
    np.testing.assert_array_equal(whole[40:60, 0], np.arange(40, 60))
    np.testing.assert_array_equal(whole[250:, 0], np.arange(350, 400))
    assert np.isfinite(whole).all()
    bridged, much = "1 samples with NaN or infinity: bridged by the value before", "NaN or infinity for too long"
    assert [listener.said[0], listener.said[-1].split(":")[0]] == [bridged, much]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_time_stamps_that_are_no_time_are_counted_on(value: float) -> None:
    said: list[str] = []
    script = [ramp(i, i + 50) for i in range(0, 6000, 50)]
    for i, number in ((30, 49), (31, 0), (90, 7)):
        script[i].times_s[number] = value  # type: ignore[index]
    _, pieces = mended(script, said)
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces])[:, 0], np.arange(6000))
    assert [piece.begins for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert [text for text in said if "counted on from those before" in text] == said != []


@pytest.mark.filterwarnings("error")
def test_what_no_float32_holds_is_bridged_as_infinity_is() -> None:
    chunk = ramp(0, 50)
    chunk.samples[20] = 1e300
    _, pieces = mended([chunk], said := [])
    assert pieces[0].samples[20, 0] == 19
    assert "NaN or infinity" in said[0]


@pytest.mark.parametrize("shape", [(50,), (50, 2), (50, 4)])
def test_a_chunk_of_other_channels_than_it_names_ends_the_decoding(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected samples \(sample, 3\)"):
        heard(ramp(0, 50), Chunk(np.zeros(shape)))


def test_a_stream_that_begins_with_nan_waits_for_numbers() -> None:
    chunk = ramp(0, 100)
    chunk.samples[:30] = np.nan
    assert heard(chunk).lengths() == [70]


def test_a_stream_is_found_again_with_its_channels_in_another_order() -> None:
    again = ramp(0, 60)
    turned = Chunk(again.samples[:, ::-1], again.times_s)
    lost = StreamLostError("amp")
    listener = heard(ramp(0, 50), lost, lost, (NAMES[::-1], RATE_HZ), turned)
    assert listener.lengths() == [50, 60]
    np.testing.assert_array_equal(listener.trials[1][0][:, 2], again.samples[:, 2])
    assert listener.said == ["the stream is back: a trial begins"]


@pytest.mark.parametrize(
    ("found", "message"), [((("a", "b"), RATE_HZ), "no c"), ((NAMES, 512.0), "512.0 Hz, expected 1000 Hz")]
)
def test_a_stream_that_comes_back_otherwise_ends_the_decoding(found: Any, message: str) -> None:
    listener = Listener()
    with pytest.raises(InputError, match=message):
        listen(listener, Scripted(ramp(0, 50), StreamLostError("amp"), found, ramp(0, 50)), listener.said.append)  # type: ignore[arg-type]
    assert listener.finished
    assert listener.lengths() == [50]


def test_a_stream_that_stays_away_ends_the_decoding() -> None:
    listener = Listener()
    script = [ramp(0, 50), *[StreamLostError("amp")] * 50]
    with pytest.raises(InputError, match=r"stream\[amp\]: got nothing of it for 0.1 s"):
        listen(listener, Scripted(*script), listener.said.append, reconnect_s=0.1)  # type: ignore[arg-type]
    assert listener.finished


@pytest.mark.parametrize(
    ("names", "rate_hz", "message"), [(("a", "b"), RATE_HZ, "no c"), (NAMES, 2000.0, "2000.0 Hz, expected 1000 Hz")]
)
def test_a_stream_that_does_not_fit_is_refused_before_its_first_sample(
    names: Sequence[str], rate_hz: float, message: str
) -> None:
    source, listener = Scripted(ramp(0, 50)), Listener()
    source.names, source.rate_hz = names, rate_hz
    with pytest.raises(InputError, match=message):
        listen(listener, source, listener.said.append)  # type: ignore[arg-type]
    assert len(source.script) == 1, "nothing was read"
    assert not listener.trials


def test_a_decoder_that_is_too_slow_drops_samples_and_the_delay_does_not_grow() -> None:
    script = [item for i in range(0, 2000, 20) for item in (ramp(i, i + 20), 0.01)]
    listener = heard(*script, wait_s=0.05)
    assert listener.dropped > 0
    assert sum(listener.lengths()) + listener.dropped == 2000
    assert any("decoding is slower than the stream" in text for text in listener.said)
    waited = stream.QUEUE_S * RATE_HZ / 20  # chunks that wait at most
    assert listener.late_s < (waited + 2) * 0.08, "no more than the queue holds"


def test_an_error_of_a_source_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        heard(ramp(0, 50), ZeroDivisionError())


# --- sinks ----------------------------------------------------------------------------------------------------------


def test_files_are_whole_under_their_names_once_they_are_closed(tmp_path: Path) -> None:
    sinks = [WavSink(tmp_path / "a.wav", 22050), MelSink(tmp_path / "a.npy", 4)]
    for i in range(3):
        for sink in sinks:
            sink.write(np.full((5, 4), i, np.float32), np.full(100, i - 1.5, np.float32))
    assert {path.suffix for path in tmp_path.iterdir()} == {".tmp"}
    for sink in sinks:
        sink.close()
    with wave.open(str(tmp_path / "a.wav")) as wav:
        assert (wav.getframerate(), wav.getnframes(), wav.getsampwidth()) == (22050, 300, 2)
        assert np.frombuffer(wav.readframes(300), "<i2")[::100].tolist() == [-32767, -16384, 16384]
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy")[:, 0], np.repeat([0, 1, 2], 5))
    assert len(list(tmp_path.iterdir())) == 2


def test_sound_beyond_what_riff_holds_is_a_whole_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = np.linspace(-1, 1, 300, dtype=np.float32)
    for name, most in (("a.wav", 672), ("b.wav", 671)):  # 80 bytes of header, 8 of which do not count, and 600
        monkeypatch.setattr(WavSink, "_MOST", most)
        sink = WavSink(tmp_path / name, 22050)
        sink.write(np.zeros((1, 4), np.float32), written)
        sink.close()
        assert soundfile.info(tmp_path / name).format == {"a.wav": "WAV", "b.wav": "RF64"}[name]
        sound, rate_hz = soundfile.read(tmp_path / name)
        assert rate_hz == 22050
        np.testing.assert_allclose(sound, written, atol=1e-4)


@pytest.mark.parametrize("make", [
    lambda path: WavSink(path, 22050), lambda path: MelSink(path, 4), ClockFile,
], ids=["wav", "mel", "clock"])  # fmt: skip
@pytest.mark.parametrize("n", [1, 1000])
def test_of_a_file_that_cannot_be_written_nothing_stays(tmp_path: Path, make: Callable[[Path], Any], n: int) -> None:
    """Whether that shows as a piece is written, or at the end."""
    sink = make(tmp_path / "a")
    piece = (np.zeros((100, 4), np.float32), np.zeros(1000, np.float32))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limit[1]))
    try:
        with pytest.raises(CannotWriteError, match=r"a: got file too large"):
            for _ in range(n):
                sink.write(0, 0, 0, 0.0) if isinstance(sink, ClockFile) else sink.write(*piece)
            sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    sink.close()
    assert list(tmp_path.iterdir()) == []


class Device:
    """What sounddevice's stream is to a sink."""

    latency = 0.02

    def __init__(self, callback: Callable[..., None], **options: Any) -> None:
        self.callback, self.options = callback, options

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


def test_a_sound_device_plays_what_comes_then_silence_and_lets_no_delay_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(OutputStream=Device))
    sink, none = SoundDevice(1000, "3"), np.zeros((0, 4), np.float32)
    assert sink._stream.options["device"] == 3
    sink.write(none, np.arange(1, 6, dtype=np.float32))
    out = np.full((8, 1), np.nan, np.float32)
    sink._stream.callback(out, 8, None, None)
    assert out[:, 0].tolist() == [1, 2, 3, 4, 5, 0, 0, 0]
    for i in range(30):
        sink.write(none, np.full(10, i, np.float32))
    sink._stream.callback(out, 8, None, None)
    assert sink.dropped == 190, "a tenth of a second waits, and the stretch that goes out"
    assert out[0, 0] == 19
    assert sink.latency_s == 0.02
    sink.close()


def test_without_a_sound_device_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(InputError, match="PortAudio"):
        SoundDevice(22050)


# --- the Lab Streaming Layer ----------------------------------------------------------------------------------------


class Amplifier:
    """An LSL stream of numbered samples, 20 at a time."""

    def __init__(self, name: str, names: Sequence[str] = NAMES, rate_hz: float = RATE_HZ) -> None:
        import pylsl

        info = pylsl.StreamInfo(name, "EEG", len(names), rate_hz, pylsl.cf_float32, f"{name}-source")
        channels = info.desc().append_child("channels")
        for label in names:
            channels.append_child("channel").append_child_value("label", label)
        self.outlet, self.rate_hz = pylsl.StreamOutlet(info), rate_hz
        self.clock = pylsl.local_clock

    def send(self, samples: np.ndarray, chunk: int = 20) -> None:
        """At the stream's speed, once somebody listens."""
        self.outlet.wait_for_consumers(5.0)
        started_s = self.clock()
        for i in range(0, len(samples), chunk):
            part = np.ascontiguousarray(samples[i : i + chunk], np.float32)
            due_s = started_s + (i + len(part)) / self.rate_hz
            time.sleep(max(0.0, due_s - self.clock()))
            self.outlet.push_chunk(part, due_s)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipeline.live.lsl import write_loopback

    file = tmp_path_factory.mktemp("lsl") / "loopback.cfg"
    write_loopback(file)
    assert "127.0.0.1" in file.read_text()
    return file


@needs_lsl
def test_a_stream_of_lsl_is_read_by_name_and_found_again(loopback: Path) -> None:
    from pipeline.live.lsl import LslSource

    amplifier = Amplifier("amp-1", NAMES[::-1])
    source, listener = LslSource("amp-1", 2.0), Listener()
    ages_s: list[float] = []
    assert (list(source.names), source.rate_hz) == (list(NAMES[::-1]), RATE_HZ)
    sent = ramp(0, 400).samples

    def play() -> None:
        nonlocal amplifier
        amplifier.send(sent[:200, ::-1])
        del amplifier
        time.sleep(0.2)
        amplifier = Amplifier("amp-1", ("c", "a", "b"))
        amplifier.send(sent[200:, [2, 0, 1]])

    def push(chunk: np.ndarray, time_s: float | None) -> None:
        assert time_s is not None
        ages_s.append(source.now() - time_s)
        Listener.push(listener, chunk, time_s)

    listener.push = push  # type: ignore[method-assign]
    thread = threading.Thread(target=play)
    thread.start()
    listen(listener, source, listener.said.append, seconds=2.5)  # type: ignore[arg-type]
    thread.join()
    assert listener.lengths() == [200, 200]
    np.testing.assert_array_equal(listener.whole(), sent)
    assert "the stream is back: a trial begins" in listener.said
    assert -0.01 < min(ages_s) < 0.2, "stamps are on this machine's clock"


@needs_lsl
def test_a_stream_that_is_not_there_or_without_labels_is_refused(loopback: Path) -> None:
    import pylsl

    from pipeline.live.lsl import LslSource

    with pytest.raises(InputError, match="0 streams of this name: nobody"):
        LslSource("nobody", 0.3)
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo("bare", "EEG", 2, 100.0, pylsl.cf_float32, "bare"))
    with pytest.raises(InputError, match="no labels of channels"):
        LslSource("bare", 2.0)
    del outlet


@needs_lsl
def test_a_stream_whose_clock_does_not_answer_has_the_senders_stamps(loopback: Path, monkeypatch: Any) -> None:
    import pylsl

    from pipeline.live import lsl

    def slow(*_: object) -> None:
        raise pylsl.util.TimeoutError

    amplifier, said = Amplifier("deaf"), list[str]()
    with monkeypatch.context() as changed:
        changed.setattr(pylsl.StreamInlet, "time_correction", slow)
        source = lsl.LslSource("deaf", 2.0, said.append)
    assert said == ["the clock of deaf does not answer (UDP): time stamps are the sender's"]
    stamped_s = amplifier.clock() + 1e6
    amplifier.outlet.push_chunk(np.zeros((1, 3), np.float32), stamped_s)
    chunk = next(chunk for chunk in iter(source.read, None) if len(chunk.samples))
    assert chunk.times_s is not None
    assert chunk.times_s[0] == stamped_s
    monkeypatch.setattr(pylsl.StreamInlet, "info", slow)
    with pytest.raises(InputError, match="no answer of deaf"):
        lsl.LslSource("deaf", 2.0)


@needs_lsl
def test_mel_and_sound_go_out_as_streams(loopback: Path) -> None:
    import pylsl

    from pipeline.live.lsl import LslSink

    sink = LslSink("voice", 4, 86.13, 22050)
    inlets = {}
    for kind in ("mel", "sound"):
        (found,) = pylsl.resolve_byprop("name", f"voice-{kind}", 1, 3.0)
        inlets[kind] = pylsl.StreamInlet(found, as_numpy=True)
        inlets[kind].open_stream(3.0)
    mel, sound = np.arange(8, dtype=np.float32).reshape(2, 4), np.arange(512, dtype=np.float32)
    sink.write(mel, sound)
    for kind, expected in (("mel", mel), ("sound", sound[:, None])):
        got, _ = inlets[kind].pull_chunk(timeout=2.0, max_samples=len(expected))
        np.testing.assert_array_equal(got, expected)
    sink.close()


def test_without_pylsl_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.live.lsl import LslSource

    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(InputError, match=r"seeg-to-audio\[live\]"):
        LslSource("amp")
