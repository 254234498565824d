"""The command line beside the workflow: ``python -m pipeline COMMAND``.

Each command imports its modules when it is called, so that only those that use torch wait
for its import.  A bad input ends with exit code 2 and names every problem.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

from pipeline.artifacts.files import WRITE_ERRORS
from pipeline.errors import (
    EXIT_BAD_INPUT,
    EXIT_CANNOT_WRITE,
    EXIT_INTERRUPTED,
    InputError,
    Problem,
    StageFailureError,
    printable,
    raise_if_any,
)
from pipeline.importing.options import Options, add_arguments

if TYPE_CHECKING:
    from pipeline.run.plan import Plan

#: How long after a signal others are not heeded [s].
GRACE_S = 2.0
_SETTING = re.compile(r"[A-Za-z0-9_.]+=")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] == ["run"]:
            return _run(given[1:])
        options, unknown = _parser().parse_known_args(_each_after_set(given))
        if unknown:
            options.usage_of.error(f"unrecognized arguments: {' '.join(unknown)}")
        return int(options.command(options) or 0)
    except InputError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except StageFailureError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except OSError as error:
        print(_unusable(error), file=sys.stderr)
        return EXIT_CANNOT_WRITE if error.errno in WRITE_ERRORS else EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        from pipeline import plugins

        if (problem := plugins.raised_in(error)) is None:
            raise
        print(problem, file=sys.stderr)
        return EXIT_BAD_INPUT


def _add_set(parser: argparse.ArgumentParser, about: str = "one or more keys of the config") -> None:
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=about)


def _each_after_set(words: Sequence[str]) -> list[str]:
    """The same words with ``--set`` before each of several settings, as main.py takes them."""
    found: list[str] = []
    more = False
    for word in words:
        is_setting = bool(_SETTING.match(word))
        if more and is_setting and found[-1] != "--set":
            found.append("--set")
        more = word.split("=")[0] == "--set" or (more and is_setting)
        found.append(word)
    return found


class Printable(io.TextIOWrapper):
    """What is printed, names from files among it, without characters that steer or stop the terminal."""

    def write(self, text: str) -> int:
        return super().write(printable(text, but="\n\t"))


class _Interrupts:
    """SIGTERM is as Ctrl-C; a second signal soon after the first does not break off what clears up."""

    def __init__(self) -> None:
        self._last_s = -math.inf
        signal.signal(signal.SIGTERM, self._interrupt)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not of a shell's background jobs
            signal.signal(signal.SIGINT, self._interrupt)
        sys.unraisablehook = self._again

    @property
    def came(self) -> bool:
        return self._last_s > -math.inf

    def _interrupt(self, number: int, frame: object) -> None:
        if time.monotonic() - self._last_s > GRACE_S:
            self._last_s = time.monotonic()
            raise KeyboardInterrupt

    def _again(self, lost: sys.UnraisableHookArgs) -> None:
        """An interrupt that came where Python cannot pass it on, as objects are cleared away, comes once more."""
        if lost.exc_type is KeyboardInterrupt:
            self._last_s = -math.inf
            Timer(0.02, os.kill, [os.getpid(), signal.SIGTERM]).start()
        else:
            sys.__unraisablehook__(lost)


def command() -> int:
    """The console command: :func:`main`, printing in a way that no terminal stumbles over; SIGTERM is as Ctrl-C."""
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    interrupts = _Interrupts()
    for name in ("stdout", "stderr"):
        plain = getattr(sys, name)
        if isinstance(plain, io.TextIOWrapper):  # none where it is closed
            shown = Printable(plain.detach(), encoding=plain.encoding, errors="backslashreplace", line_buffering=True)
            setattr(sys, name, shown)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        code = main()
    except Exception:
        if not interrupts.came:
            raise
        print("interrupted", file=sys.stderr)  # in a callback of C, where an interrupt turns into another error
        code = EXIT_INTERRUPTED
    for number in (signal.SIGINT, signal.SIGTERM):  # all is done, and Python's own end is no place to be interrupted
        signal.signal(number, signal.SIG_IGN)
    try:
        print(end="", flush=True)
    except OSError as error:  # a reader that left, a full disk; Python, too, would complain of it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if code == 0 and not isinstance(error, BrokenPipeError):
            print(_unusable(error), file=sys.stderr)
            code = EXIT_CANNOT_WRITE
    return code


def _unusable(error: OSError) -> Problem:
    """The problem of a path on the command line that cannot be read or written."""
    got = error.strerror or type(error).__name__
    if error.errno in WRITE_ERRORS:
        return Problem(str(error.filename or "what is written to"), "", got, "a place to write", "Free space there")
    return Problem(str(error.filename or "a file"), "", got, "a usable path", "Correct the path or its permissions")


def _parser() -> argparse.ArgumentParser:
    name = "seeg-to-audio" if Path(sys.argv[0]).stem == "seeg-to-audio" else "python -m pipeline"
    parser = argparse.ArgumentParser(prog=name, description=f"Commands of the workflow: ``{name} COMMAND``.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("run", help="run the workflow in this folder with a config, as main.py of the checkout does")
    _add_simulate(commands)
    _add_import(commands)
    _add_doctor(commands)
    _add_inspect(commands)
    _add_plot(commands)
    _add_predict(commands)
    _add_live(commands)
    _add_export(commands)
    _add_config(commands)
    _add_verify(commands)
    _add_accept(commands)
    _add_runs(commands)
    _add_summary(commands)
    _add_report(commands)
    _add_recover(commands)
    for one in commands.choices.values():
        one.set_defaults(usage_of=one)
    return parser


def _run(arguments: Sequence[str]) -> int:
    """``main.py`` of the checkout in the working directory: ``run my.yaml …`` is ``main.py --config my.yaml …``.

    Replaces this process, so that signals reach ``main.py`` itself.
    """
    main_file = _home() / "main.py"
    if not main_file.is_file():
        fix = "Clone the repository, and install it from there: pip install -c constraints.txt -e ."
        raise InputError(Problem("run", str(main_file), "no such file", "the checkout with its workflow", fix))
    named = [] if not arguments or arguments[0].startswith("-") else ["--config"]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(main_file), *named, *arguments])


def _home() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[2]


def _add_simulate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("simulate", help="write the raw arrays of a simulated subject and their sheet")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--mode", choices=["linked", "null", "onset-only", "contaminated"])
    parser.add_argument("--minutes", type=float, help="sound in each recording (defaults: the config's, 3 min)")
    parser.add_argument("--channels", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--subjects", type=int)
    parser.add_argument("--recordings", type=int, help="recordings of each subject")
    parser.add_argument("--speech", metavar="DIR", help="folder of real speech, .wav or .npy")
    _add_set(parser, "any other key of simulate")
    parser.set_defaults(command=_simulate)


def _simulate(options: argparse.Namespace) -> None:
    from pipeline.config.loader import load_config, parse_override
    from pipeline.simulation.subject import write_subjects

    names = ("mode", "minutes", "channels", "seed", "subjects", "recordings", "speech")
    overrides = [{"simulate": {name: getattr(options, name) for name in names if getattr(options, name) is not None}}]
    overrides += [parse_override(f"simulate.{text.removeprefix('simulate.')}") for text in options.set]
    sheet = write_subjects(load_config([], overrides).simulate, options.out)
    print(f"simulated data, sheet: {sheet}")


def _add_import(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("import", help="convert recordings of other formats to raw arrays and a sample sheet")
    add_arguments(parser)
    parser.set_defaults(command=_import)


def _import(options: argparse.Namespace) -> None:
    from pipeline.importing.command import import_recordings

    sheet = import_recordings(
        options.source,
        options.out,
        Options.parsed(options),
        file_format=options.format,
        append=options.append,
        dry_run=options.dry_run,
        yes=options.yes,
    )
    if sheet:
        print(f"sheet: {sheet}")


def _add_doctor(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("doctor", help="check whether a run of this config can start, and estimate its cost")
    parser.add_argument("config", type=Path, nargs="*", metavar="CONFIG", help="default: what main.py ran with last")
    _add_set(parser)
    parser.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> None:
    from pipeline.doctor.command import check_run

    check_run(_plan(options))


def _add_inspect(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("inspect", help="list the contents of an artifact")
    parser.add_argument("file", type=Path)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw twenty seconds of the arrays over time")
    parser.add_argument("--verify", action="store_true", help="read all data and recompute the digest")
    parser.set_defaults(command=_inspect)


def _inspect(options: argparse.Namespace) -> None:
    from pipeline.artifacts.inspection import describe, verify

    print(describe(options.file))
    if options.verify:
        verify(options.file)
        print("verified: the content digest matches")
    if options.plot:
        from pipeline.report.plots import Stretch, chosen_kind, plot

        plot(options.file, chosen_kind(options.file, "arrays"), options.plot, Stretch(None, 20.0))
        print(f"plotted: {options.plot}")


def _add_plot(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("plot", help="draw the usual picture of an artifact, eval.json or metrics.csv")
    parser.add_argument("file", type=Path)
    parser.add_argument("--kind", help="which picture, e.g. pair, bands or attention of predictions")
    parser.add_argument("--out", type=Path, metavar="FILE", help=".png, .pdf or .svg; default: FILE_KIND.png here")
    parser.add_argument("--start", type=float, metavar="S", help="where the picture starts [s]; default: in the middle")
    parser.add_argument("--seconds", type=float, default=6.0, metavar="S", help="how much of it (default: 6)")
    parser.set_defaults(command=_plot)


def _plot(options: argparse.Namespace) -> None:
    from pipeline.report.plots import Stretch, chosen_kind, plot

    stretch = Stretch(options.start, options.seconds)
    kind = chosen_kind(options.file, options.kind)
    out = options.out or Path(f"{options.file.stem}_{kind}.png")
    plot(options.file, kind, out, stretch)
    print(f"plotted {kind}: {out}")


def _add_predict(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("predict", help="predict new recordings with a trained model, with or without sound")
    _add_model_options(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sheet", type=Path, metavar="TSV", help="sheet of new recordings, which no run needs to know")
    what.add_argument("--recording", nargs="+", metavar="ID", help="aligned recordings of the run")
    parser.add_argument("--out", type=Path, default=Path("new_predictions"), metavar="DIR", help="a folder of its own")
    parser.add_argument(
        "--audio", choices=["none", "predicted", "all"], default="predicted",
        help="with --sheet: the sound to write; all: the true and the vocoded true sound too, where there is any",
    )  # fmt: skip
    parser.add_argument("--npy", action="store_true", help="also write .npy for a vocoder")
    parser.add_argument("--accelerator", default="auto", choices=["auto", "cpu", "gpu"])
    parser.add_argument(
        "--config", type=Path, nargs="+", default=[],
        help="with --sheet: limits of valid recordings and vocoder; default: what main.py ran with last",
    )  # fmt: skip
    _add_set(parser)
    parser.set_defaults(command=_predict)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--run", metavar="DIGEST", help="name of a model, its first characters, or its file model.ckpt")
    model.add_argument("--subject", metavar="S", help="take the final model of this subject")
    parser.add_argument("--fold", type=int, metavar="K", help="with --subject: take the model of this fold instead")


def _predict(options: argparse.Namespace) -> None:
    from pipeline.config.checks import id_problem

    if options.sheet is not None:
        _predict_sheet(options)
        return
    raise_if_any(filter(None, (id_problem(name, "--recording", "") for name in options.recording)))
    model = _model_file(options)
    from pipeline.run.new_recordings import predict_recording

    for recording in options.recording:
        file = predict_recording(model, recording, options.out, options.npy, options.accelerator)
        print(f"predicted: {file}")


def _predict_sheet(options: argparse.Namespace) -> None:
    from pipeline.config.loader import load_config, parse_override

    config = load_config(_config_files(options), map(parse_override, options.set))
    model = _model_file(options)
    from pipeline.run.new_sheet import Wanted, predict_sheet

    predict_sheet(model, options.sheet, options.out, config, Wanted(options.audio, options.npy, options.accelerator))


def _model_file(options: argparse.Namespace) -> Path:
    """The model that ``--run``, or ``--subject`` and ``--fold``, names."""
    from pipeline.artifacts.paths import RESULTS
    from pipeline.config.variants import FINAL
    from pipeline.run.new_recordings import model_of
    from pipeline.run.run_list import named_model

    if options.run is not None and options.fold is not None:
        raise InputError(Problem("--fold", "", "--fold with --run", "--fold with --subject", "Leave one of them out"))
    fold = FINAL if options.fold is None else options.fold
    return model_of(options.subject, fold) if options.run is None else named_model(options.run, RESULTS / "train")


def _add_live(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("live", help="decode a stream, or a recording as if it were recorded now")
    _add_model_options(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--replay", metavar="RECORDING", help="a recording of the run's sheet")
    source.add_argument("--lsl", metavar="NAME", help="the stream of this name in the Lab Streaming Layer")
    parser.add_argument("--speed", choices=["1", "max"], default="1", help="of a replay: as recorded, or at full speed")
    parser.add_argument("--chunk-s", type=float, default=0.02, metavar="S", help="of a replay: length of a chunk [s]")
    parser.add_argument("--session", metavar="NAME", help="of a stream: it has the montage of this aligned session")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so long, of a replay in its own time")
    parser.add_argument(
        "--lsl-loopback", type=Path, metavar="FILE", help="write a config of this machine alone, and use it"
    )
    parser.add_argument(
        "--vocoder", choices=["griffin_lim", "pulses", "hifigan"], help="default: the config's vocode.vocoder"
    )
    parser.add_argument(
        "--look-ahead", type=int, metavar="FRAMES",
        help="frames that the vocoder waits for: better, later (default: 2, of HiFi-GAN all that it depends on; "
        "pulses wait for none)",
    )  # fmt: skip
    parser.add_argument("--wav", type=Path, metavar="FILE", help="write the sound")
    parser.add_argument("--mel", type=Path, metavar="FILE", help="write the mel (frame, band) [nats] as .npy")
    parser.add_argument("--clock", type=Path, metavar="FILE", help="write when mel and sound came out (.tsv)")
    parser.add_argument("--lsl-out", metavar="NAME", help="send the LSL streams NAME-mel and NAME-sound")
    parser.add_argument("--sound-device", nargs="?", const="", metavar="DEVICE", help="play the sound as it comes")
    parser.add_argument("--score", action="store_true", help="of a replay: r, lag and STOI against the true sound")
    parser.add_argument("--quiet", action="store_true", help="no line each second")
    _add_plan_options(parser)
    parser.set_defaults(command=_live)


def _live(options: argparse.Namespace) -> None:
    from pipeline.live.command import Outputs, listen_to_lsl, replay
    from pipeline.live.lsl import write_loopback

    raise_if_any(_live_problems(options))
    if options.lsl_loopback:
        write_loopback(options.lsl_loopback)
    outputs = Outputs(
        options.vocoder,
        options.look_ahead,
        options.wav,
        options.mel,
        options.clock,
        options.lsl_out,
        options.sound_device,
    )
    plan, model = _plan(options), _model_file(options)
    show = partial(print, flush=True)
    say: Callable[[str], None] = (lambda _: None) if options.quiet else show
    if options.lsl is not None:
        listen_to_lsl(plan, model, options.lsl, outputs, say, montage_of=options.session, seconds=options.seconds)
        return
    paced = options.speed == "1"
    score = show if options.score else None
    replay(
        plan, model, options.replay, outputs, say,
        seconds=options.seconds, chunk_s=options.chunk_s, paced=paced, score=score,
    )  # fmt: skip


def _live_problems(options: argparse.Namespace) -> Iterator[Problem]:
    from pipeline.config.checks import id_problem

    if not 0 < options.chunk_s <= 60:
        yield Problem("--chunk-s", "", f"{options.chunk_s:g}", "0 to 60 s", "Give the length of a chunk")
    if options.seconds is not None and not options.seconds > 0:
        yield Problem("--seconds", "", f"{options.seconds:g}", "more than 0 s", "Leave it out to listen until Ctrl-C")
    if options.look_ahead is not None and not 0 <= options.look_ahead <= 32:
        yield Problem("--look-ahead", "", str(options.look_ahead), "0 to 32 frames", "Give a number of frames")
    if options.lsl is not None and options.score:
        yield Problem("--score", "", "--score with --lsl", "--score with --replay", "Leave one of them out")
    if options.session and options.replay is not None:
        fix = "Leave it out: a recording has the montage of its own session"
        yield Problem("--session", "", "--session with --replay", "--session with --lsl", fix)
    files = [file.absolute() for file in (options.wav, options.mel, options.clock) if file]
    if len(set(files)) < len(files):
        yield Problem("live", "", "one file for several outputs", "a file for each", "Name another file")
    if options.session and (problem := id_problem(options.session, "--session", "")):
        yield problem


def _add_export(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("export", help="write a model as ONNX, with all that it takes to run it elsewhere")
    _add_model_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that this command makes")
    parser.add_argument(
        "--session", metavar="NAME", help="take the montage of this aligned session (default: the last in training)"
    )
    parser.add_argument("--licence", metavar="TEXT", help="what the model card says of who may use the weights")
    _add_plan_options(parser)
    parser.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> None:
    from pipeline.config.checks import id_problem
    from pipeline.live.export import export

    raise_if_any(filter(None, [options.session and id_problem(options.session, "--session", "")]))
    made = export(_plan(options), _model_file(options), options.out, options.session, options.licence)
    print(f"exported: {made} → {options.out}")


def _add_config(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("config", help="check a config, or write the default ones and their docs")
    parser.add_argument("files", type=Path, nargs="*")
    _add_set(parser)
    parser.add_argument("--write", type=Path, metavar="DIR", help="write defaults, schema and key table")
    parser.set_defaults(command=_config)


def _config(options: argparse.Namespace) -> None:
    from pipeline.artifacts.files import write_text
    from pipeline.config.docs import default_files
    from pipeline.config.loader import load_config, parse_override

    if options.write:
        for name, text in default_files().items():
            write_text(options.write / name, text)
        return
    print(load_config(options.files, map(parse_override, options.set)).model_dump_json(indent=1))


def _add_verify(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("verify", help="check that all results belong together and are undamaged")
    _add_plan_options(parser)
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"), help="the results folder")
    parser.set_defaults(command=_verify)


def _add_plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, nargs="+", default=[], help="default: what main.py ran with last")
    _add_set(parser)


def _plan(options: argparse.Namespace) -> Plan:
    """The plan of the config on the command line, else of the last run of main.py, else of the default config."""
    from pipeline.config.loader import parse_override
    from pipeline.run.plan import load_plan

    return load_plan(_home(), _config_files(options), list(map(parse_override, options.set)), is_job=False)


def _config_files(options: argparse.Namespace) -> list[Path]:
    """Those on the command line, else that of the last run of main.py, else none."""
    from pipeline.run.plan import RESOLVED_CONFIG

    return options.config or ([RESOLVED_CONFIG] if RESOLVED_CONFIG.is_file() else [])


def _verify(options: argparse.Namespace) -> int:
    from pipeline.artifacts.paths import RESULTS
    from pipeline.provenance.freshness import made_with_others

    if not options.results.is_dir():
        fix = "Name the folder results/ of a run"
        raise InputError(Problem(str(options.results), "", "no such folder", "a results folder", fix))
    if options.results.absolute().name != RESULTS.name:
        fix = f"Name the folder {RESULTS}/ of a run: of another folder the one beside it would be looked at"
        raise InputError(Problem(str(options.results), "", "a folder of another name", f"{RESULTS}/", fix))
    os.chdir(options.results.absolute().parent)  # not of what a link leads to
    plan = _plan(options)
    findings = list(plan.freshness().check(plan.outputs(), read_all=True))
    for line in [*findings, *made_with_others(plan.outputs())]:
        print(line)
    good = len(plan.outputs()) - len(findings)
    print(f"{good} of {len(plan.outputs())} outputs are whole, undamaged and belong together")
    return 1 if findings else 0


def _add_accept(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("accept", help="keep results although the code of their stage changed")
    parser.add_argument("stages", nargs="+", metavar="STAGE")
    _add_plan_options(parser)
    parser.set_defaults(command=_accept)


def _accept(options: argparse.Namespace) -> None:
    from pipeline.config.stages import STAGES
    from pipeline.provenance.freshness import accept

    unknown = [stage for stage in options.stages if stage not in STAGES]
    raise_if_any(Problem("accept", "STAGE", s, f"one of {', '.join(STAGES)}", "Name a stage") for s in unknown)
    plan = _plan(options)
    for stage in options.stages:
        count = accept(plan.outputs(), stage, plan.present_code[stage])
        print(f"{stage}: {count} output(s) accepted for the present code")


def _add_runs(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("runs", help="list the runs of networks and models; --prune removes those not in use")
    parser.add_argument("--prune", action="store_true", help="remove all but the runs in use, after asking")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_plan_options(parser)
    parser.set_defaults(command=_runs)


def _runs(options: argparse.Namespace) -> None:
    from pipeline.run.run_list import list_runs, prune, runs_table, wanted_runs

    plan = _plan(options)
    runs = list_runs([*wanted_runs(plan.outputs(), plan.initial_models), *plan.initial_runs])
    print(runs_table(runs))
    unused = [run for run in runs if not run.in_use]
    if options.prune and unused:
        size = sum(run.size_bytes for run in unused) / 1e6
        question = f"Remove {len(unused)} run(s), {size:.0f} MB? [y/N] "
        if options.yes or input(question).strip().lower() in ("y", "yes"):
            prune(unused)
            print(f"removed {len(unused)} run(s)")


def _add_summary(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("summary", help="the main scores, and where the results are")
    _add_plan_options(parser)
    parser.set_defaults(command=_summary)


def _summary(options: argparse.Namespace) -> None:
    from pipeline.run.layout import refuse_earlier_layout
    from pipeline.run.summary import closing_summary

    refuse_earlier_layout()
    print(closing_summary())
    if not _config_files(options):  # of another way to run: nothing says what is wanted
        return
    try:
        stale = _plan(options).stale()
    except InputError as error:
        print(error, "warning: these scores cannot be compared with the config", sep="\n", file=sys.stderr)
        return
    if stale:
        more = f", and {len(stale) - 1} more" if len(stale) > 1 else ""
        print(f"warning: not what the config and the data give now: {stale[0]}{more}", file=sys.stderr)


def _add_report(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("report", help="draw the page of results/eval.json again")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--share",
        action="store_true",
        help="leave out true sound, target spectrograms, word labels and places of contacts",
    )
    parser.set_defaults(command=_report)


def _report(options: argparse.Namespace) -> None:
    from pipeline.report.command import draw_report
    from pipeline.run.layout import refuse_earlier_layout

    refuse_earlier_layout()
    draw_report(options.out, share=options.share)
    print(f"report: {options.out}")


def _add_recover(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "recover", help="end what a killed run left here: its jobs, in Slurm too, and its locks"
    )
    parser.set_defaults(command=_recover)


def _recover(options: argparse.Namespace) -> None:
    from pipeline.run.ownership import owned_folder

    with owned_folder(_home() / "workflow" / "scripts") as done:
        print("\n".join(done) or "nothing to recover")
