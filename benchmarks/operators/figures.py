"""What was measured, each with its aim beside it and how it grows with the number of Trials."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH = 58


@dataclass(frozen=True)
class Figure:
    """One number."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    """It should be below."""


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def spread(name: str, values: Sequence[float], *, aim: float | None = None) -> list[Figure]:
    """Seconds: median, 99th percentile, which is what has an aim, and maximum."""
    return [
        Figure(f"{name}, p50", quantile(values, 0.5), "s"),
        Figure(f"{name}, p99", quantile(values, 0.99), "s", aim),
        Figure(f"{name}, max of {len(values)}", max(values), "s"),
    ]


def show(columns: Mapping[str, Sequence[Figure]]) -> str:
    """A table; the last column says by how much the last one is above the first."""
    lines = [f"{'':{WIDTH}}{'aim':>12}" + "".join(f"{title:>16}" for title in columns) + f"{'grows':>10}"]
    for row in zip(*columns.values(), strict=True):
        aim = "" if row[0].aim is None else f"< {_number(row[0].aim, row[0].unit)}"
        cells = "".join(f"{_number(each.value, each.unit) + _mark(each):>16}" for each in row)
        growth = f"{row[-1].value / row[0].value:.2f} x" if len(row) > 1 and row[0].value > 0 else ""
        lines.append(f"{row[0].name:{WIDTH}}{aim:>12}{cells}{growth:>10}".rstrip())
    return "\n".join(lines)


def load() -> str:
    """How busy the machine is, by itself and by others."""
    return f"load average {', '.join(f'{value:.1f}' for value in os.getloadavg())} on {os.cpu_count()} cores"


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}".strip()


def _mark(figure: Figure) -> str:
    return " !" if figure.aim is not None and figure.value >= figure.aim else ""
