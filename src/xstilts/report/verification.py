"""Every reported number once more: what `xstilts verify` does.

Nothing that a stage left is taken at its word: keys are computed again from configs and inputs, files are read against
their digests, gold comes from the data sets and not from the predictions, and metrics, means and curves are computed
again and compared with those that stages and reports say. Predictions alone are believed: they are what was measured.
"""

import csv
import io
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from xstilts import metrics
from xstilts.core.configs import EvaluationConfig
from xstilts.core.errors import IntegrityError, UserError
from xstilts.core.keys import stage_key
from xstilts.core.manifests import ArtifactManifest, SplitRef
from xstilts.core.plan import Plan
from xstilts.core.results import EvaluationFacts, LanguageScores
from xstilts.core.retention import measured
from xstilts.report.results import Results, collect, summary_json
from xstilts.report.scores import Score, means, scores_csv
from xstilts.store import artifacts, datasets
from xstilts.store.port import NotFound, ObjectStore
from xstilts.tasks import registry
from xstilts.tasks.datasets import read_split
from xstilts.tasks.definitions import Task
from xstilts.tasks.gold import gold

TOLERANCE = 1e-9
"""Of percentages: sums of floats may differ in their last digits between releases of Python."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """One reported number and where it comes from; its fields are the columns of verification.csv."""

    trial: str
    target: str
    protocol: str
    checkpoint: str
    language: str
    metric: str
    reported: float
    recomputed: float | None
    """None where it could not be computed again: `problems` say why."""
    data: str
    """The evaluated split and its digest."""
    evaluation: str
    """Address of the stage that measured it."""
    runs: str
    """MLflow runs that show the stage."""
    encoder: str
    """Address of the stage, or model, whose weights were evaluated."""
    stage_versions: str
    """Stage kinds and their versions, from the evaluation back to the model."""
    code: str
    """Release of xstilts that ran each of these stages."""
    images: str
    """Container images of these stages, where they ran in one."""

    @property
    def agrees(self) -> bool:
        return self.recomputed is not None and abs(self.recomputed - self.reported) <= TOLERANCE


COLUMNS = tuple(column.name for column in fields(Number))


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    numbers: tuple[Number, ...]
    problems: tuple[str, ...]
    """What does not agree, a sentence each; empty if all is well."""
    evicted: tuple[str, ...] = ()
    """Stages whose weights were to be read and are evicted, which is no problem."""


def verify(
    plan: Plan,
    manifests: Mapping[str, ArtifactManifest],
    store: ObjectStore,
    *,
    report: Path | None = None,
    weights: bool = False,
    evicted: Collection[str] = (),
) -> Verification:
    """Checks all that is done of a plan; `manifests` are by address.

    `report` is a folder that `write_report` wrote, whose numbers are compared too. `weights` also reads every file of
    every other stage, checkpoints among them, against its digest; `evicted` are those that have no files any more.
    """
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        work = _Verification(plan, manifests, store, Path(folder), evicted)
        return work.run(report, weights=weights)


def verification_csv(found: Verification) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(number) for number in found.numbers)
    return text.getvalue()


@dataclass
class _Verification:
    plan: Plan
    manifests: Mapping[str, ArtifactManifest]
    store: ObjectStore
    folder: Path
    evicted: Collection[str] = ()
    problems: list[str] = field(default_factory=list)
    golds: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    """Ids and gold by the address of a split."""

    def run(self, report: Path | None, *, weights: bool) -> Verification:
        for address, manifest in self._stages():
            self._check_key(address, manifest)
            if weights and manifest.kind != "evaluation" and address not in self.evicted:
                self._fetch(address, manifest)
        reported, again = dict[str, EvaluationFacts](), dict[str, EvaluationFacts]()
        for address, manifest in self._stages():
            if manifest.kind == "evaluation":
                reported[address] = EvaluationFacts.model_validate(manifest.facts)
                again[address] = self._evaluated(address, manifest, reported[address])
        training = measured(dict(self._stages())).trainings
        results, recomputed = (collect(self.plan, facts, training=training) for facts in (reported, again))
        numbers = tuple(self._numbers(results, recomputed))
        if report:
            self._check_report(report, recomputed)
        unread = tuple(address for address, _ in self._stages() if weights and address in self.evicted)
        return Verification(numbers=numbers, problems=tuple(self.problems), evicted=unread)

    def _stages(self) -> Iterator[tuple[str, ArtifactManifest]]:
        return ((address, self.manifests[address]) for address in self.plan.stages if address in self.manifests)

    def _check_key(self, address: str, manifest: ArtifactManifest) -> None:
        key = stage_key(kind=manifest.kind, version=manifest.version, config=manifest.config, inputs=manifest.inputs)
        if not address.endswith(f"/{key}"):
            self.problems.append(f"{address}: config, inputs and version in its manifest make the key {key}")

    def _fetch(self, address: str, manifest: ArtifactManifest) -> bool:
        try:
            artifacts.fetch(self.store, manifest, self.folder / address)
        except (IntegrityError, NotFound) as error:
            self.problems.append(f"{address}: {error}")
            return False
        return True

    # ---- one evaluation

    def _evaluated(self, address: str, manifest: ArtifactManifest, facts: EvaluationFacts) -> EvaluationFacts:
        """The facts with metrics computed again; what cannot be is left out."""
        config = EvaluationConfig.model_validate(manifest.config)
        known = {*config.data, *config.dev}
        if not self._fetch(address, manifest):
            return facts.model_copy(update={"checkpoints": ()})

        def again(entries: tuple[LanguageScores, ...]) -> tuple[LanguageScores, ...]:
            for entry in entries:
                if entry.data not in known:
                    self.problems.append(f"{address}: {entry.data} is none of the splits in its config")
            found = (self._scored(address, config.task, entry) for entry in entries if entry.data in known)
            return tuple(entry for entry in found if entry)

        checkpoints = tuple(
            scores.model_copy(update={"languages": again(scores.languages), "dev": again(scores.dev)})
            for scores in facts.checkpoints
        )
        return facts.model_copy(update={"checkpoints": checkpoints})

    def _scored(self, address: str, task_name: str, entry: LanguageScores) -> LanguageScores | None:
        place = f"{address}/{entry.predictions}"
        task = registry.get(task_name)
        try:
            lines = (self.folder / address / entry.predictions).read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines]
            expected = self._gold(entry.data)
            if problem := _difference(expected, rows):
                self.problems.append(f"{place}: {problem}")
                return None
            scores = _metrics(task, entry.language, expected, rows)
            return entry.model_copy(update={"metrics": {metric: scores[metric] for metric in entry.metrics}})
        except (OSError, ValueError, LookupError, TypeError, IntegrityError, NotFound) as error:
            self.problems.append(f"{place}: {error}")
            return None

    def _gold(self, ref: SplitRef) -> list[tuple[str, Any]]:
        """From the data set. Raises IntegrityError, NotFound."""
        if ref.address not in self.golds:
            split = datasets.load_split(self.store, ref)
            paths = datasets.fetch_split(self.store, split, self.folder / ref.address)
            self.golds[ref.address] = [
                (example.id, number if (right := gold(example)) is None else right)  # retrieval: its own row
                for number, example in enumerate(read_split(split, paths))
            ]
        return self.golds[ref.address]

    # ---- all numbers

    def _numbers(self, reported: Results, recomputed: Results) -> Iterator[Number]:
        again = {_place(score): score.value for score in recomputed.scores}
        for score in reported.scores:
            number = self._number(score, again.get(_place(score)))
            if number.recomputed is not None and not number.agrees:
                self.problems.append(
                    f"{score.evaluation}: {score.metric} of {score.target} in {score.language!r}, checkpoint "
                    f"{score.checkpoint}, is {number.recomputed} by its predictions, and {score.value} in its manifest"
                )
            yield number

    def _number(self, score: Score, recomputed: float | None) -> Number:
        manifest = self.manifests[score.evaluation]
        chain = self._chain(score.evaluation)
        ref = next(
            ref for ref in EvaluationConfig.model_validate(manifest.config).data if ref.language == score.language
        )
        return Number(
            trial=score.trial,
            target=score.target,
            protocol=score.protocol,
            checkpoint=score.checkpoint,
            language=score.language,
            metric=score.metric,
            reported=score.value,
            recomputed=recomputed,
            data=f"{ref.dataset}/{ref.split}.{ref.language}@{ref.digest}",
            evaluation=score.evaluation,
            runs=" ".join(self._runs.get(score.evaluation, ())),
            encoder=manifest.inputs["encoder"],
            stage_versions=" ".join(f"{stage.kind}:{stage.version}" for stage in chain),
            code=" ".join(dict.fromkeys(str(stage.provenance.get("xstilts", "")) for stage in chain)),
            images=" ".join(dict.fromkeys(str(stage.provenance.get("image") or "-") for stage in chain)),
        )

    def _chain(self, address: str) -> list[ArtifactManifest]:
        """The manifests of a stage and of all that it was made from."""
        if address not in self.manifests:
            return []
        manifest = self.manifests[address]
        return [manifest, *(other for before in manifest.inputs.values() for other in self._chain(before))]

    @cached_property
    def _runs(self) -> dict[str, list[str]]:
        """MLflow's run ids by stage, from the receipts of publication."""
        runs: dict[str, list[str]] = {}
        for entry in self.store.list("stages/evaluation/"):
            address, _, receipt = entry.key.partition("/receipts/")
            if receipt and address in self.manifests:
                runs.setdefault(address, []).append(json.loads(self.store.read(entry.key))["runId"])
        return runs

    # ---- the report

    def _check_report(self, folder: Path, recomputed: Results) -> None:
        tables = {
            folder / "results.csv": scores_csv(recomputed.scores),
            folder / "means.csv": scores_csv(means(recomputed.scores)),
        }
        summary = folder / "summary.json"
        if missing := [file.name for file in (*tables, summary) if not file.is_file()]:
            raise UserError(f"{folder} has no {', '.join(missing)}; write the report first: xstilts report")
        self.problems += [
            f"{table} differs from what the predictions give; write it again: xstilts report"
            for table, expected in tables.items()
            if table.read_text(encoding="utf-8") != expected
        ]
        there, again = (json.loads(text) for text in (summary.read_text(encoding="utf-8"), summary_json(recomputed)))
        self.problems += [
            f"{summary}: {part} differ from what the predictions give; write it again: xstilts report"
            for part in ("summaries", "curves", "best", "label_uses")
            if there.get(part) != again[part]
        ]


def _place(score: Score) -> tuple[str, ...]:
    return score.trial, score.target, score.protocol, score.language, score.metric


def _difference(expected: list[tuple[str, Any]], rows: list[Any]) -> str | None:
    """Why predictions are not those of the split's examples, in order."""
    if len(rows) != len(expected):
        return f"{len(rows)} predictions for {len(expected)} examples of the data set"
    for number, ((identity, right), row) in enumerate(zip(expected, rows, strict=True)):
        if row["id"] != identity or row["gold"] != right:
            there = f"id {row['id']!r} and gold {row['gold']!r}"
            return f"row {number} (from 0) has {there}, the data set {identity!r} and {right!r}"
    return None


def _metrics(task: Task, language: str, expected: list[tuple[str, Any]], rows: list[Any]) -> dict[str, float]:
    golds, predictions = [right for _, right in expected], [row["prediction"] for row in rows]
    return metrics.score(task.kind, golds, predictions, rules=task.rules, language=language)
