"""Tables for the terminal: scores with intervals, and scores by language."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rich.console import Group
from rich.table import Table
from rich.text import Text

from xstilts.core.catalogue import ENGLISH
from xstilts.core.conditions import Condition
from xstilts.core.errors import UserError
from xstilts.core.languages import OTHER_LANGUAGES
from xstilts.core.results import ORACLE
from xstilts.report import formats
from xstilts.report.results import Results, Target

CAPTION = "± is a 95 % t interval over training seeds; differences are paired with the baseline by seed."
ORACLE_CAPTION = "oracle: selected by labels of each language, so no zero-shot result."
LABELS_CAPTION = "labels: languages besides English whose labels the recipe trains on; no zero-shot result in them."
BEST_CAPTION = "Chosen on English dev; the test score had no part in the choice. Retrieval has no English dev data."


def scores_table(results: Results) -> Group:
    """A table for each target: its headline metric in English, as mean over the other languages, and the difference of
    that to the baseline. Then one with its other metrics, and its headline metric under other selection protocols, as
    means over the other languages.

    Trained targets come first, retrieval after; no column averages over targets. The last table is of the points that
    English dev data choose.
    """
    captions = [
        CAPTION,
        *([ORACLE_CAPTION] if ORACLE in results.plan.protocols else []),
        *([LABELS_CAPTION] if results.labelled else []),
        *([BEST_CAPTION] if results.best else []),
    ]
    tables = [table for target in results.targets for table in _target_tables(results, target)]
    best = [_best_table(results)] if results.best else []
    return Group(*tables, *best, *(Text(caption, style="dim") for caption in captions))


def languages_table(results: Results, target: str) -> Group:
    """Headline scores of one target by language, with the difference to the baseline: a table for each recipe.

    Raises UserError for a target that the study does not have.
    """
    targets = {entry.name: entry for entry in results.targets}
    if target not in targets:
        raise UserError(f"{target!r} is no target of study {results.plan.study!r}; choose one of {sorted(targets)}")
    return Group(*(_recipe_table(results, targets[target], conditions) for conditions in by_recipe(results)))


def by_recipe(results: Results) -> list[list[Condition]]:
    """Conditions that share recipe and budget, each list with the baseline in front."""
    baseline = [condition for condition in results.planned if condition.is_baseline]
    groups: dict[tuple[str, str], list[Condition]] = {}
    for condition in results.planned:
        if not condition.is_baseline:
            groups.setdefault((condition.recipe, condition.budget), list(baseline)).append(condition)
    return list(groups.values()) or [baseline]


def kind(target: Target) -> str:
    return "trained on English" if target.trained else "retrieval, no training"


def other_protocols(target: Target) -> list[str]:
    """Selections beside that of the headline scores."""
    return [protocol for protocol in target.protocols if protocol != target.protocol]


def _target_tables(results: Results, target: Target) -> Iterator[Table]:
    title = f"{target.name}: {target.metric or 'no result yet'} ({kind(target)}; {target.protocol} checkpoint)"
    headers = ("trials", "English", "other languages", "difference", "p (Holm)")
    yield _table(results, title, headers, partial(_cells, results, target))
    if others := (*target.metrics[1:], *other_protocols(target)):
        title = f"{target.name}: other metrics, and {target.metric} of other checkpoints; means of other languages"
        yield _table(results, title, others, partial(_other_cells, results, target))


def _best_table(results: Results) -> Table:
    table = Table(title="best by English dev", title_justify="left")
    for header in ("target", "trained on"):
        table.add_column(header)
    for header in ("English dev", "other languages (test)"):
        table.add_column(header, justify="right", no_wrap=True)
    for best in results.best:
        trained_on = formats.condition(best.condition, results.labelled)
        table.add_row(best.target, trained_on, formats.number(best.dev), formats.estimate(best.estimate))
    return table


def _table(results: Results, title: str, headers: Sequence[str], cells: Callable[[Condition], Sequence[str]]) -> Table:
    """A row for each condition."""
    budgets = any(condition.budget for condition in results.planned)
    table = Table(title=title, title_justify="left")
    table.add_column("recipe")
    table.add_column("rows", justify="right")
    if budgets:
        table.add_column("budget")
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for condition in results.planned:
        recipe = formats.recipe(condition.recipe, results.labelled)
        leading = [recipe, _rows(condition), *([condition.budget] if budgets else [])]
        table.add_row(*leading, *cells(condition))
    return table


def _cells(results: Results, target: Target, condition: Condition) -> Sequence[str]:
    english, others = (
        results.find(condition, target=target.name, metric=target.metric, scope=scope)
        for scope in (ENGLISH, OTHER_LANGUAGES)
    )
    measured = others or english
    return (
        f"{measured.trials if measured else 0}/{results.planned[condition]}",
        formats.mean(english),
        formats.mean(others),
        formats.difference(others),
        formats.p_value(others.adjusted_p_value if others else None),
    )


def _other_cells(results: Results, target: Target, condition: Condition) -> Sequence[str]:
    find = partial(results.find, condition, target=target.name, scope=OTHER_LANGUAGES)
    return [
        *(formats.mean(find(metric=metric)) for metric in target.metrics[1:]),
        *(formats.mean(find(metric=target.metric, protocol=protocol)) for protocol in other_protocols(target)),
    ]


def _recipe_table(results: Results, target: Target, conditions: list[Condition]) -> Table:
    recipe = formats.recipe(conditions[-1].recipe, results.labelled)
    titles = [part for part in (recipe, conditions[-1].budget) if part]
    table = Table(title=f"{target.name}: {target.metric or 'no result yet'} after {', '.join(titles)}")
    table.title_justify = "left"
    table.add_column("language")
    for condition in conditions:
        table.add_column(condition.recipe if condition.is_baseline else _rows(condition), justify="right")
    for scope in (*target.languages, OTHER_LANGUAGES):
        table.add_row(scope, *(_language_cell(results, target, condition, scope) for condition in conditions))
    return table


def _language_cell(results: Results, target: Target, condition: Condition, scope: str) -> str:
    summary = results.find(condition, target=target.name, metric=target.metric, scope=scope)
    if summary is None or summary.difference is None:
        return formats.number(summary.estimate.mean) if summary else formats.ABSENT
    change = formats.number(summary.difference.estimate.mean, signed=True)
    return f"{formats.number(summary.estimate.mean)} ({change})"


def _rows(condition: Condition) -> str:
    """`10,000`, or `4,000 full` where the size was written otherwise."""
    size = "" if condition.size == str(condition.rows) else f" {condition.size}"
    return f"{condition.rows:,}{size}"
