"""`xstilts export`: predictions in the files of other programs."""

import json
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from xstilts import acceptance
from xstilts.api.load import load_study
from xstilts.cli.study import StudyFile
from xstilts.core.errors import UserError
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import ORACLE, EvaluationFacts, LanguageScores
from xstilts.core.zero_shot import foreign_to
from xstilts.report import submission
from xstilts.store import artifacts, datasets
from xstilts.store.port import ObjectStore
from xstilts.tasks import registry
from xstilts.tasks.datasets import read_split
from xstilts.tasks.examples import Retrieval

app = typer.Typer(help="Predictions in the files of other programs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `xtreme` a subcommand although it is the only one."""


@app.command()
def xtreme(
    file: StudyFile,
    trial: Annotated[str, typer.Option(help="Name of the trial, as in the report.")],
    out: Annotated[Path, typer.Option(help="Folder to write; new or empty.")],
    protocol: Annotated[
        str, typer.Option(help="last, best or averaged; by default the one of each target's headline scores.")
    ] = "",
) -> None:
    """Write a trial's predictions as a submission to XTREME."""
    study = load_study(file)
    store = acceptance.store_of(study.spec.store)
    planned = acceptance.load_plan(store, study.metadata.name)
    if protocol == ORACLE:
        raise UserError("--protocol oracle: it is selected by labels of the target languages; submit another one")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: not an empty folder; files of another submission must not be left among these")
    found = {target: manifest for target, manifest in _evaluations(store, _trial(planned, trial)) if manifest}
    if not found:
        raise UserError(f"--trial {trial}: none of XTREME's targets is evaluated yet ({', '.join(submission.TASKS)})")
    console = Console(soft_wrap=True, highlight=False)
    if languages := foreign_to(planned, _trial(planned, trial)):
        console.print(f"warning: trained on labels in {', '.join(languages)}: not zero-shot there", markup=False)
    for task in submission.TASKS:
        origins = {}
        if manifest := found.get(task):
            for entry in _scores(manifest, protocol or planned.selected[task]):
                rows = _rows(store, manifest, entry, with_english=task == "tatoeba")
                target = out / submission.file_name(task, entry.language)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(submission.content(task, rows), encoding="ascii", newline="\n")
                layout = datasets.load_split(store, entry.data).layout
                origins[entry.language] = submission.Origin(len(rows), layout)
        for complaint in submission.shortcomings(task, origins):
            console.print(f"warning: {complaint}", markup=False)
    console.print(f"{out}: {', '.join(found)} of trial {trial}", markup=False)


def _trial(planned: Plan, name: str) -> Trial:
    trials = {trial.name: trial for trial in planned.trials}
    if name not in trials:
        close = ", ".join(get_close_matches(name, trials) or list(trials)[:3])
        raise UserError(f"--trial {name}: study {planned.study!r} has no such trial; it has {close} and others")
    return trials[name]


def _evaluations(store: ObjectStore, trial: Trial) -> Iterator[tuple[str, ArtifactManifest | None]]:
    for task in submission.TASKS:
        if address := trial.evaluations.get(task):
            yield task, artifacts.load_manifest(store, address)


def _scores(manifest: ArtifactManifest, protocol: str) -> list[LanguageScores]:
    facts = EvaluationFacts.model_validate(manifest.facts)
    if (found := facts.of(protocol)) is None:
        known = ", ".join(scores.checkpoint for scores in facts.checkpoints)
        raise UserError(f"--protocol {protocol}: {facts.task} was evaluated with {known} alone")
    return [entry for entry in found.languages if entry.language in registry.get(facts.task).spec.languages]


def _rows(
    store: ObjectStore, manifest: ArtifactManifest, entry: LanguageScores, *, with_english: bool
) -> list[submission.Row]:
    """Predictions in the order of the split, with its English sentences where they are wanted."""
    with TemporaryDirectory() as folder:
        artifacts.fetch(store, manifest, Path(folder), only=entry.predictions)
        with (Path(folder) / entry.predictions).open(encoding="utf-8") as file:
            rows = [submission.Row(row["id"], row["prediction"]) for row in map(json.loads, file)]
        if not with_english:
            return rows
        split = datasets.load_split(store, entry.data)
        examples = read_split(split, datasets.fetch_split(store, split, Path(folder)))
        english = [example.english for example in examples if isinstance(example, Retrieval)]
        return [row._replace(english=sentence) for row, sentence in zip(rows, english, strict=True)]
