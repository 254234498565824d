"""Measured rows as text, as docs/benchmarks.md and as two plots.

The page's measured part lies between two marks; what people wrote around it stays.
"""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, NullLocator

from bench.harness import Figure, Result

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def row_text(result: Result) -> str:
    """A row as the terminal shows it."""
    lines = [f"{result.title}  (load {result.load:.1f})"]
    for name, t in result.timings.items():
        span = f"{min(t.cpu_s):.2f} … {max(t.cpu_s):.2f}"
        lines.append(f"  {name:28} CPU {t.cpu:8.3f} s ({span})   wall {t.wall:8.3f} s   {t.peak_mb:7.0f} MB")
    lines += [f"  {_verdict(f):8} {f.name}: {_number(f.value)}{_bound(f)}" for f in result.figures]
    return "\n".join(lines)


def write_pages(results: dict[str, Result], folder: Path) -> None:
    """``benchmarks.md`` and its plots in ``folder``."""
    page = folder / "benchmarks.md"
    text = page.read_text() if page.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{_measured(results)}\n{END}{after}")
    _plot_ratios(results, folder / "benchmarks.svg")
    if "growth" in results:
        _plot_growth(results["growth"], folder / "benchmarks_growth.svg")


def _measured(results: dict[str, Result]) -> str:
    kinds = dict.fromkeys(result.machine for result in results.values())
    machines = dict(zip(kinds, ascii_uppercase, strict=False))
    parts = [f"Machine {letter}: {machine}." for machine, letter in machines.items()]
    parts.append("![Times faster than what a user would pick instead](benchmarks.svg)")
    if "growth" in results:
        parts.append("![CPU time against length, channels and subjects](benchmarks_growth.svg)")
    parts += [_section(name, result, machines[result.machine]) for name, result in results.items()]
    return "\n\n".join(parts)


def _section(name: str, result: Result, machine: str) -> str:
    how = f"{result.runs} runs on machine {machine}, load at the start {result.load:.1f}"
    head = f"### {result.title}\n\n`make bench ROWS={name}`; {how}."
    times = ["| | CPU, median (range) [s] | wall [s] | peak memory [MB] |", "|---|---|---|---|"]
    for label, t in result.timings.items():
        span = f" ({_number(min(t.cpu_s))} … {_number(max(t.cpu_s))})" if len(t.cpu_s) > 1 else " (one run)"
        times.append(f"| {label} | {_number(t.cpu)}{span} | {_number(t.wall)} | {t.peak_mb:.0f} |")
    figures = ["| figure | value | target | |", "|---|---|---|---|"]
    figures += [f"| {f.name} | {_number(f.value)} | {_bound(f, '')} | {_verdict(f)} |" for f in result.figures]
    return "\n\n".join([head, "\n".join(times), "\n".join(figures)])


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _bound(figure: Figure, before: str = ", target ") -> str:
    if figure.target is None:
        return ""
    return f"{before}{'≥' if figure.sign == '>=' else '≤'} {_number(figure.target)}"


def _verdict(figure: Figure) -> str:
    return "" if figure.target is None else "met" if figure.met else "**missed**"


def _plot_ratios(results: dict[str, Result], path: Path) -> None:
    """One bar for each ratio of times with a target, and the target as a line."""
    bars = [(r.title.split(" (")[0], f) for r in results.values() for f in r.figures if "times faster" in f.name]
    canvas = Canvas(figsize=(9, 0.4 * len(bars) + 1.2), layout="constrained")
    axes = canvas.subplots()
    y = np.arange(len(bars))[::-1]
    axes.barh(y, [f.value for _, f in bars], color=["#4c78a8" if f.met else "#e45756" for _, f in bars])
    for height, (_, f) in zip(y, bars, strict=True):
        axes.plot([f.target or 1] * 2, [height - 0.4, height + 0.4], "k", lw=2)
    axes.set(xscale="log", xlabel="times faster (black: target)")
    axes.set_yticks(y, [f"{title}\n{f.name}" for title, f in bars], fontsize=6)
    _save(canvas, path)


def _plot_growth(result: Result, path: Path) -> None:
    """CPU time against size, both logarithmic, with a line of exponent 1."""
    canvas = Canvas(figsize=(9, 3.2), layout="constrained")
    kinds = ("length", "channels", "subjects")
    for axes, kind in zip(canvas.subplots(1, 3), kinds, strict=True):
        for name, (sizes, times) in result.series.items():
            if name.endswith(kind):
                axes.plot(sizes, times, "o-", label=name.split(",")[0])
                axes.plot(sizes, np.multiply(times[0] / sizes[0], sizes), "k:", lw=0.7)
                shown = sizes
        axes.set(xscale="log", yscale="log", xlabel=f"times the {kind}", ylabel="CPU time [s]")
        axes.xaxis.set_major_locator(FixedLocator(shown))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.legend(fontsize=7)
    _save(canvas, path)


def _save(canvas: Canvas, path: Path) -> None:
    """The same bytes for the same figures."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "bench"}):
        canvas.savefig(path, metadata={"Date": None})
