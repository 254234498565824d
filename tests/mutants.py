"""Mutants: small edits of the modules that decide what may be claimed, each of which the fast tests should notice.

An edit changes a comparison, a sign, a number, ``and`` or ``not``.  The edits of a module are drawn with a seed; for
each, a fork of this process imports the edited module in place of the module's file, which stays as it is, and runs
the module's tests, the shortest first, to the first failure.  ``python tests/mutants.py --edits 25 --seed 0`` ends
with code 1 where fewer than 90 % were noticed.  (mutmut and cosmic-ray draw no sample; mutmut edits no constant of a
module and nothing below a decorator, cosmic-ray edits the files themselves.)
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.util
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Module -> the tests that may notice an edit of it: names of files, and of tests in them.
MODULES = {
    "signal.mel": ("mel", ""),
    "signal.correlation": ("correlation", ""),
    "data.splits": ("splits sessions", "test_splits or stimulus or dealt or turns or more_folds or equal_order"),
    "data.windowing": ("splits", ""),
    "data.spans": ("splits", ""),
    "data.stimuli": ("sessions repeats", "stimulus"),
    "data.repeats": ("repeats", ""),
    "baselines.ridge": ("ridge tuned_ridge", ""),
    "baselines.tuned_ridge": ("tuned_ridge", ""),
    "baselines.references": ("levels", "reference or template or voice or power"),
    "evaluation.fold": (
        "metrics words calibration nulls chance",
        "r_is or constant or nan or speech or annotated or varies or fold or word or retrained or percentile or "
        "errors_have or ceiling or mcd",
    ),
    "evaluation.metrics": ("metrics", "r_is or mcd or cepstra or piece or constant or undefined"),
    "evaluation.intervals": ("metrics", "interval or piece or pseudo"),
    "evaluation.group": ("metrics", "group or sign or subjects"),
    "evaluation.drift": ("chance", "drift"),
    "evaluation.shifts": ("chance", "shift or autocorrelation"),
    "evaluation.trial_exchange": ("chance", "exchange or order or trial"),
    "evaluation.chance": ("chance", "shift or exchange or trial or partners or testable or p_ or null"),
    "evaluation.words": ("words chance", "test_words or swap or rank_accuracy or matched or undone or alike_timing"),
    "evaluation.levels": ("levels", ""),
    "evaluation.utterances": ("levels", ""),
    "evaluation.utterance_tests": ("levels", ""),
    "evaluation.segments": ("measures", "not independent and not recognise and not pitch"),
    "evaluation.frame_exchange": ("measures", "frames_that_meet or blocks_count"),
    "evaluation.nulls": ("nulls chance levels", "test_nulls or averaged or no_level or slow_drift or order_of_its"),
    "evaluation.limits": ("levels", ""),
    "evaluation.measures": ("measures", "not independent and not recognise and not pitch"),
    "evaluation.repeats": ("repeats", "block_by_count or other_sound"),
    "evaluation.audit": ("splits report", "test_clean or deliberate or inner_fold or sample or neural_and or audit"),
    "evaluation.importance_null": ("importance", "null or rarely"),
    "evaluation.leak_statistic": ("contamination", ""),
    "evaluation.leak_spectra": ("contamination", ""),
    "evaluation.contamination": ("contamination", ""),
}
LEAST_NOTICED = 0.9
#: Longer tests take no part [seconds of processor time].
LONGEST_S = 4.0
#: Seconds of processor time beyond five times those of the tests without an edit.
PATIENCE_S = 10

OTHER: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}


def without_notes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one, but for annotations, decorators, ``strict`` of ``zip`` and what a message says."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list") and getattr(node, "arg", "") != "strict":
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                    yield from without_notes(child)


def replacements(node: ast.AST) -> list[ast.AST]:
    """What an edit makes of a node."""
    found: list[ast.AST] = []

    def changed(name: str, value: object) -> None:
        found.append(copy.copy(node))
        setattr(found[-1], name, value)

    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                for other in OTHER[type(op)]:
                    changed("ops", [*ops[:i], other(), *ops[i + 1 :]])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op):
            for other in OTHER.get(type(op), ()):
                changed("op", other())
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            found.append(operand)
        case ast.Constant(value=bool() as value):
            changed("value", not value)
        case ast.Constant(value=int() as value):
            changed("value", value + 1)
        case ast.Constant(value=float() as value):
            changed("value", 2 * value or 1.0)
    return found


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def sampled(source: str, n: int, seed: str) -> list[tuple[str, str]]:
    """At most ``n`` edits of a module: where and what, and the edited source."""
    places = [(i, k) for i, node in enumerate(without_notes(ast.parse(source))) for k in range(len(replacements(node)))]
    found = []
    for i, k in random.Random(seed).sample(places, min(n, len(places))):
        tree = ast.parse(source)
        old = list(without_notes(tree))[i]
        new = replacements(old)[k]
        edited = ast.unparse(ast.fix_missing_locations(_Replace(old, new).visit(tree)))
        found.append((f"{getattr(old, 'lineno', 0)}: {ast.unparse(old)} -> {ast.unparse(new)}", edited))
    return found


class Edited(SourceFileLoader, MetaPathFinder):
    """Imports a module from another source than its file's."""

    def __init__(self, name: str, file: Path, source: str) -> None:
        super().__init__(name, str(file))
        self.source = source

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:  # type: ignore[override]
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def get_code(self, name: str) -> CodeType:
        return compile(self.source, self.path, "exec")


class Durations:
    """A plugin of pytest: processor time of each test [s]."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        started = time.process_time()
        result = yield
        self.of[item.nodeid] = time.process_time() - started
        return result


def run_tests(selected: Sequence[str], *plugins: object) -> int:
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not slurm", "--rootdir", str(ROOT)]
    return int(pytest.main([*options, *selected], plugins=plugins))


def forked(act: Callable[[], int], cpu_s: float) -> int:
    """The exit code of a function in a fork, minus the signal that ended it; what it prints goes to nobody."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 2))
            signal.alarm(600)
            code = act()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forget() -> None:
    """Modules of the project are imported anew; those of others stay."""
    for name, module in list(sys.modules.items()):
        own = str(getattr(module, "__file__", None)).startswith((str(ROOT / "src"), str(ROOT / "tests")))
        if own and name != "__main__":
            del sys.modules[name]


def survivors(module: str, edits: int, seed: int) -> tuple[int, list[str]]:
    """How many edits of a module were tried, and those that no test noticed, in ten minutes on the wall."""
    name, file = f"pipeline.{module}", ROOT / "src/pipeline" / f"{module.replace('.', '/')}.py"
    drawn = sampled(file.read_text(), edits, f"{seed} {module}")
    durations, started = Durations(), time.process_time()
    files, names = MODULES[module]
    if code := run_tests([*(f"tests/test_{file}.py" for file in files.split()), "-k", names], durations):
        raise SystemExit(f"{module}: its tests end with {code} without any edit")
    limit_s = PATIENCE_S + 5 * (time.process_time() - started)
    ordered = sorted(
        (test for test, took_s in durations.of.items() if took_s < LONGEST_S), key=durations.of.__getitem__
    )

    if not ordered:
        raise SystemExit(f"{module}: each of its tests takes {LONGEST_S:g} s or more")

    def noticed(source: str) -> int:
        forget()
        sys.meta_path.insert(0, Edited(name, file, source))
        return run_tests(ordered)

    if code := forked(lambda: noticed(file.read_text()), limit_s):
        raise SystemExit(f"{module}: its tests end with {code} in a fork without any edit")
    left = []
    for said, source in drawn:
        code = forked(lambda source=source: noticed(source), limit_s)  # type: ignore[misc]
        if code in (0, -signal.SIGALRM):
            print(f"  {module}:{said}" + (" (not known: ten minutes were too short)" if code else ""), flush=True)
            left.append(said)
    return len(drawn), left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=25, help="of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modules", nargs="*", default=list(MODULES))
    options = parser.parse_args()
    os.chdir(ROOT)
    tried = missed = 0
    for module in options.modules:
        n, left = survivors(module, options.edits, options.seed)
        print(f"{module:28} {n - len(left):3} of {n} noticed", flush=True)
        tried, missed = tried + n, missed + len(left)
    print(f"{tried - missed} of {tried} edits noticed")
    return int(missed > (1 - LEAST_NOTICED) * tried)


if __name__ == "__main__":
    sys.exit(main())
