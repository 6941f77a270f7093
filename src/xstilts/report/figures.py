"""Scaling curves as SVG: one figure a target, equal bytes for equal results. Matplotlib is imported only here."""

import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import escape

from xstilts.core.languages import OTHER_LANGUAGES
from xstilts.report import formats
from xstilts.report.results import Results, Target
from xstilts.report.summaries import Curve, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A4FBF", "#000000")
"""Okabe & Ito's palette for every kind of colour vision, its yellow replaced: it is too pale on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", (0, (6, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
"""One style a budget; the markers of every second budget are hollow."""
GREY = "#595959"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One recipe and budget of a figure."""

    label: str
    points: tuple[Summary, ...]
    """By rising size."""
    curve: Curve | None


def curve_svg(results: Results, target: Target) -> str | None:
    """The figure as an `<svg>` element to be put into a page; None where nothing was measured."""
    from matplotlib.figure import Figure

    baseline, lines = _contents(results, target)
    if baseline is None and not lines:
        return None
    with _style():
        figure = Figure(figsize=(8.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        left = _draw_baseline(axes, baseline, lines)
        for index, line in enumerate(lines):
            _draw_line(axes, line, index, of=lines)
        _label(axes, target, lines, left)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return _element(text.getvalue(), name=target.name, description=describe(results, target))


def describe(results: Results, target: Target) -> str:
    """What the figure shows, for those who do not see it."""
    baseline, lines = _contents(results, target)
    parts = [f"Mean {target.metric} of {target.name} over the languages other than English, by rows of data."]
    if baseline:
        parts.append(f"Baseline {formats.mean(baseline)}.")
    for line in lines:
        values = ", ".join(f"{point.condition.rows:,} rows {formats.mean(point)}" for point in line.points)
        parts.append(f"{line.label}: {values}.")
    return " ".join(parts)


def _contents(results: Results, target: Target) -> tuple[Summary | None, list[Line]]:
    baseline: Summary | None = None
    groups: dict[tuple[str, str], list[Summary]] = {}
    for condition in results.planned:
        found = results.find(condition, target=target.name, metric=target.metric, scope=OTHER_LANGUAGES)
        if found and condition.is_baseline:
            baseline = found
        elif found:
            groups.setdefault((condition.recipe, condition.budget), []).append(found)
    curves = {(curve.recipe, curve.budget): curve for curve in results.curves if curve.target == target.name}
    lines = [
        Line(
            label=", ".join(part for part in (formats.recipe(key[0], results.labelled), key[1]) if part),
            points=tuple(sorted(points, key=lambda point: point.condition.rows)),
            curve=curves.get(key),
        )
        for key, points in groups.items()
    ]
    return baseline, lines


# ---- drawing


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's defaults, whatever the user's own settings are, and ours on top."""
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context():
        rcdefaults()
        rcParams["svg.hashsalt"] = "xstilts"
        rcParams["svg.fonttype"] = "none"  # text stays text: searchable, and readable aloud
        rcParams["text.parse_math"] = False
        rcParams["font.size"] = 10
        rcParams["axes.spines.top"] = rcParams["axes.spines.right"] = False
        yield


def _draw_baseline(axes: "Axes", baseline: Summary | None, lines: Sequence[Line]) -> float:
    """A line and a band across the figure, the runs at its left edge; returns their x."""
    left = min(_all_rows(lines), default=1000) / 3
    if baseline is None:
        return left
    mean, interval = baseline.estimate.mean, baseline.estimate.interval
    axes.axhline(mean, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)), label="baseline, n = 0", zorder=1)
    if interval:
        axes.axhspan(interval.low, interval.high, color=GREY, alpha=0.12, linewidth=0, zorder=0)
    values = _flat(baseline)
    axes.plot([left] * len(values), values, "o", color=GREY, markersize=4, alpha=0.6, zorder=2)
    return left


def _draw_line(axes: "Axes", line: Line, index: int, *, of: Sequence[Line]) -> None:
    """Means with interval bars, single runs as pale dots, and the fitted curve; side by side with other lines."""
    recipes = list(dict.fromkeys(entry.points[0].condition.recipe for entry in of))
    budgets = list(dict.fromkeys(entry.points[0].condition.budget for entry in of))
    condition = line.points[0].condition
    recipe, budget = recipes.index(condition.recipe), budgets.index(condition.budget)
    colour, style = COLOURS[recipe % len(COLOURS)], LINES[budget % len(LINES)]
    dodge = 1.035 ** (index - (len(of) - 1) / 2)
    rows = [point.condition.rows * dodge for point in line.points]
    for x, point in zip(rows, line.points, strict=True):
        values = _flat(point)
        axes.plot([x] * len(values), values, ".", color=colour, markersize=5, alpha=0.35, zorder=2)
    axes.errorbar(
        rows,
        [point.estimate.mean for point in line.points],
        yerr=[_half_width(point) for point in line.points],
        color=colour,
        marker=MARKERS[recipe % len(MARKERS)],
        markersize=6,
        markerfacecolor="white" if budget % 2 else colour,
        linestyle=style,
        linewidth=1.6,
        elinewidth=1.2,
        capsize=3,
        label=line.label,
        zorder=3,
    )
    if line.curve and line.curve.fit:
        fit = line.curve.fit
        x = np.geomspace(fit.smallest, fit.largest, 60)
        axes.plot(x, [fit.predict(n) for n in x], color=colour, linewidth=4, alpha=0.25, zorder=1)


def _label(axes: "Axes", target: Target, lines: Sequence[Line], left: float) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    ticks = _spread(sorted(_all_rows(lines)))
    axes.set_xticks([left, *ticks], ["0", *(_thousands(rows) for rows in ticks)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(left / 1.4, max(ticks, default=left * 3) * 1.4)
    axes.set_xlabel("rows of intermediate data (log scale; 0 = baseline)")
    axes.set_ylabel(f"{target.metric}, mean of other languages")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=3)


def _half_width(point: Summary) -> float:
    """Half the interval; 0, which draws no bar, for a single seed."""
    interval = point.estimate.interval
    return (interval.high - interval.low) / 2 if interval else 0.0


def _flat(summary: Summary) -> list[float]:
    return [value for values in summary.values.values() for value in values]


def _all_rows(lines: Iterable[Line]) -> set[int]:
    return {point.condition.rows for line in lines for point in line.points}


def _spread(rows: Sequence[int]) -> list[int]:
    """Those that leave room for their labels, from the largest down."""
    kept: list[int] = []
    for value in reversed(rows):
        if not kept or math.log(kept[-1] / value) > 0.07 * math.log(3 * rows[-1] / rows[0]):
            kept.append(value)
    return kept[::-1]


def _thousands(rows: int) -> str:
    if rows >= 1_000_000:
        return f"{rows / 1_000_000:.3g}M"
    return f"{rows / 1000:.3g}k" if rows >= 1000 else str(rows)


# ---- SVG


def _element(document: str, *, name: str, description: str) -> str:
    """The `<svg>` element alone, with a text alternative and with ids that are unique in a page of several figures."""
    element = document[document.index("<svg") :]
    element = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", element)
    alternative = f'<svg role="img" aria-label="{escape(description)}"'
    return element.replace("<svg", alternative, 1).strip()
