"""How numbers are spelt, in the terminal and in report.html alike. An absent number is a dash, never a zero."""

from collections.abc import Mapping, Sequence

from xstilts.core.conditions import Condition
from xstilts.core.curves import Family, Fit
from xstilts.core.statistics import Estimate, Interval
from xstilts.core.zero_shot import marked
from xstilts.report.summaries import Summary

ABSENT = "–"
MINUS = "\N{MINUS SIGN}"


def number(value: float, *, digits: int = 1, signed: bool = False) -> str:
    """`51.2`, or signed `+1.3`; a value that rounds to 0 has no sign, and a minus is a real one."""
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def estimate(value: Estimate | None, *, signed: bool = False) -> str:
    """`51.2 ± 1.3`: the mean and half the width of its interval, which is symmetric; the mean alone for one seed."""
    if value is None:
        return ABSENT
    mean = number(value.mean, signed=signed)
    if value.interval is None:
        return mean
    return f"{mean} ± {(value.interval.high - value.interval.low) / 2:.1f}"


def mean(summary: Summary | None) -> str:
    return estimate(summary.estimate if summary else None)


def difference(summary: Summary | None) -> str:
    """The paired difference to the baseline."""
    return estimate(summary.difference.estimate if summary and summary.difference else None, signed=True)


def p_value(value: float | None) -> str:
    if value is None:
        return ABSENT
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def recipe(name: str, labelled: Mapping[str, Sequence[str]]) -> str:
    """The name, marked where the recipe trains on labels of languages other than English; these are by recipe."""
    return marked(name, labelled.get(name, ()))


def condition(value: Condition, labelled: Mapping[str, Sequence[str]]) -> str:
    """`mnli, 10,000 rows, 3 epochs`, the recipe as in `recipe`."""
    if value.is_baseline:
        return value.recipe
    rows = f"{value.rows:,} rows" + (f" ({value.size})" if value.size != str(value.rows) else "")
    return ", ".join(part for part in (recipe(value.recipe, labelled), rows, value.budget) if part)


def interval(value: Interval | None) -> str:
    """Of a curve's parameter."""
    if value is None:
        return "undetermined"
    return f"[{_coefficient(value.low)}, {_coefficient(value.high)}]"


def formula(fit: Fit) -> str:
    """The curve with its numbers; y in points, n in rows."""
    p = [parameter.value for parameter in fit.parameters]
    match fit.family:
        case Family.CONSTANT:
            return f"y = {_coefficient(p[0])}"
        case Family.POWER:
            return f"y = {_coefficient(p[0])}{_term(-p[1])}·n^({MINUS}{_coefficient(p[2])})"
        case Family.LOG:
            return f"y = {_coefficient(p[0])}{_term(p[1])}·ln n"
        case Family.QUADRATIC:
            return f"y = {_coefficient(p[0])}{_term(p[1])}·ln n{_term(p[2])}·(ln n)²"


def _coefficient(value: float) -> str:
    """Three significant digits; thousands are written out."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"
    return text.replace("-", MINUS)


def _term(value: float) -> str:
    return f" {MINUS if value < 0 else '+'} {_coefficient(abs(value))}"
