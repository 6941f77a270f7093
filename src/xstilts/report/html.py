"""report.html and the files beside it. One page that needs no network and no scripts; equal results, equal bytes."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from xstilts.core.catalogue import ENGLISH
from xstilts.core.languages import OTHER_LANGUAGES, TRANSFER_GAP
from xstilts.report import formats, text
from xstilts.report.figures import curve_svg
from xstilts.report.results import Results, Target, summary_json
from xstilts.report.scores import means, scores_csv


def write_report(
    results: Results, folder: Path, *, title: str | None = None, commands: Mapping[str, str] | None = None
) -> list[Path]:
    """Writes report.html, results.csv, means.csv and summary.json, each as a whole or not at all; returns their paths.

    `commands` maps what a command line does to the command line, such as how to open MLflow on this study.
    """
    contents = {
        "report.html": render_html(results, title=title, commands=commands),
        "results.csv": scores_csv(results.scores),
        "means.csv": scores_csv(means(results.scores)),
        "summary.json": summary_json(results),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        _write_atomically(folder / name, content)
    return [folder / name for name in contents]


def render_html(results: Results, *, title: str | None = None, commands: Mapping[str, str] | None = None) -> str:
    """The page as text."""
    return _template().render(
        title=title or results.plan.study,
        commands=commands or {},
        results=results,
        plan=results.plan,
        figures={target.name: Markup(curve_svg(results, target) or "") for target in results.targets},  # noqa: S704
        groups=_groups(results),
        recipes=text.by_recipe(results),
        missing=_missing_by_trial(results),
        formats=formats,
        kind=text.kind,
        english=ENGLISH,
        others=OTHER_LANGUAGES,
        gap=TRANSFER_GAP,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("xstilts.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _groups(results: Results) -> list[tuple[str, list[Target]]]:
    """Targets under their heading: what is trained and what is retrieval never share a table."""
    trained = [target for target in results.targets if target.trained]
    retrieval = [target for target in results.targets if not target.trained]
    headings = {"Targets with English training": trained, "Retrieval targets, without training": retrieval}
    return [(heading, targets) for heading, targets in headings.items() if targets]


def _missing_by_trial(results: Results) -> dict[tuple[str, str], list[str]]:
    """Targets that lack a result, by trial and its state."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in results.missing:
        grouped[entry.trial, entry.state].append(entry.target)
    return dict(grouped)


def _write_atomically(path: Path, content: str) -> None:
    """A reader sees the old file or the new one; a crash leaves the old one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
