"""From a stage's manifest to what MLflow shows of it, and the receipt that says it was shown.

Everything comes from the manifest, so a stage can be published long after it ran, and to any number of servers.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from xstilts.api.base import Model
from xstilts.api.training import Similarity
from xstilts.core import zero_shot
from xstilts.core.catalogue import TaskKind, name_in
from xstilts.core.configs import (
    BASE_CHECKPOINT,
    CONFIGS,
    EvaluationConfig,
    PretrainingConfig,
    ScalingConfig,
    TextStream,
    TrainingConfig,
    similarity_of,
    unused_settings,
)
from xstilts.core.errors import TrackingUnavailable
from xstilts.core.keys import canonical_json, digest, stage_address
from xstilts.core.manifests import ArtifactManifest, SplitRef
from xstilts.core.results import CheckpointScores, EvaluationFacts, Publication, ScalingFacts, TrainingFacts
from xstilts.store import artifacts, evictions
from xstilts.store.port import NotFound, ObjectStore
from xstilts.tasks import registry
from xstilts.tracking.port import Tracker
from xstilts.tracking.records import (
    Checkpoint,
    CheckpointRef,
    Context,
    DatasetUse,
    Point,
    Score,
    StageRecord,
    zero_shot_tags,
)

log = logging.getLogger(__name__)


def receipt_key(address: str, *, server: str, publication: Publication) -> str:
    """One receipt for each place where a stage is shown. `server` is a tracker's identity."""
    return f"{address}/receipts/{digest([server, publication.document()])}.json"


def is_published(store: ObjectStore, tracker: Tracker, manifest: ArtifactManifest, publication: Publication) -> bool:
    """Whether the server still has the run that the receipt names, and does not call weights evicted that are back.

    A server that lost its database is so filled again.
    """
    address = stage_address(manifest.kind, manifest.key)
    run = published_run(store, receipt_key(address, server=tracker.identity, publication=publication))
    if run is None:
        return False
    if run not in still_known(tracker.known_runs, [run]):
        log.warning("MLflow at %s no longer has run %s of %s: it is published again", tracker.identity, run, address)
        return False
    eviction = evictions.load(store, address)
    return eviction is None or eviction.concerns(manifest)


KnownRuns = Callable[[Collection[str]], Collection[str]]
"""Asks a server which of the runs with these ids it still has, as `Tracker.known_runs` does."""


def still_known(known_runs: KnownRuns, runs: Collection[str]) -> Collection[str]:
    """Those of the runs that the server has; all of them where it can't be asked, for receipts are trusted then."""
    try:
        return known_runs(runs)
    except TrackingUnavailable as error:
        log.warning("receipts are trusted, because the server can't be asked: %s", error)
        return runs


def published_run(store: ObjectStore, receipt: str) -> str | None:
    """Id of the run that a receipt names, of a stage, a trial or a study; None where there is none, or a broken one."""
    try:
        return str(json.loads(store.read(receipt))["runId"])
    except (NotFound, ValueError, KeyError, TypeError):
        return None


def publish(store: ObjectStore, tracker: Tracker, manifest: ArtifactManifest, publication: Publication) -> None:
    """Brings the stage's run, LoggedModels, versions and scores into place, then leaves the receipt. Idempotent.

    Versions are marked as evicted where the weights are gone, and the mark is taken away where they are back.
    """
    published = tracker.publish_stage(stage_record(store, manifest, publication))
    address = stage_address(manifest.kind, manifest.key)
    if eviction := evictions.load(store, address):
        tracker.set_evicted([manifest.key], evicted=eviction.concerns(manifest))
    receipt = {
        "server": tracker.identity,
        "publication": publication.document(),
        "runId": published.run_id,
        "models": dict(published.models),
        "versions": dict(published.versions),
        "published": int(time.time() * 1000),
    }
    key = receipt_key(address, server=tracker.identity, publication=publication)
    store.put(key, canonical_json(receipt).encode())
    if eviction and not eviction.concerns(manifest):
        evictions.forget(store, address)


def stage_record(store: ObjectStore, manifest: ArtifactManifest, publication: Publication) -> StageRecord:
    """What is published of a stage that is done."""
    fields: dict[str, Any]
    config = CONFIGS[manifest.kind].model_validate(manifest.config)  # type: ignore[index]
    match config:
        case PretrainingConfig():
            fields = _pretraining(store, config, manifest, TrainingFacts.model_validate(manifest.facts))
        case ScalingConfig():
            fields = _scaling(store, config, ScalingFacts.model_validate(manifest.facts))
        case TrainingConfig():
            fields = _training(store, config, manifest, TrainingFacts.model_validate(manifest.facts))
        case EvaluationConfig():
            fields = _evaluation(store, config, manifest, EvaluationFacts.model_validate(manifest.facts))
    tags = {f"xstilts.input.{role}": address for role, address in manifest.inputs.items()}
    if (labelled := _labelled(store, manifest)) is not None:
        tags |= zero_shot_tags(zero_shot.foreign(labelled))
    return StageRecord(
        kind=manifest.kind,
        key=manifest.key,
        address=stage_address(manifest.kind, manifest.key),
        study=publication.study,
        recipe=publication.recipe,
        manifest_digest=manifest.digest,
        started=int(manifest.provenance.get("started", 0)),
        finished=int(manifest.provenance.get("finished", 0)),
        **fields | {"tags": tags | fields.get("tags", {})},
    )


def _labelled(store: ObjectStore, manifest: ArtifactManifest) -> zero_shot.Labelled | None:
    """What trained the stage's encoder, back to the model; None of stages without one, or where a manifest is gone."""
    address = manifest.inputs.get("encoder")
    if address is None:
        return None
    found = zero_shot.labelled_by(manifest.config)
    if not address.startswith("stages/"):
        return found
    before = artifacts.load_manifest(store, address)
    earlier = _labelled(store, before) if before else None
    return None if earlier is None else {**earlier, **found}


def _pretraining(
    store: ObjectStore, config: PretrainingConfig, manifest: ArtifactManifest, facts: TrainingFacts
) -> dict[str, Any]:
    params = {
        "seed": str(config.seed),
        "steps": str(facts.steps),
        **_text(config.text),
        **_settings(config.settings, unused_settings((), tuning=config.settings.tuning, text=True)),
    }
    del params["text.ratio"]  # there are no tasks beside the text
    return {
        "params": params,
        "history": list(_history(facts)),
        "datasets": [_use(store, ref, "training") for ref in config.text.data],
        "checkpoints": _checkpoints(store, manifest, facts),
    }


def _kinds(*tasks: str) -> Collection[TaskKind]:
    """Of the tasks; any kind where a task is of a package that is not installed here."""
    known = registry.tasks()
    return {known[task].spec.kind for task in tasks} if known.keys() >= set(tasks) else frozenset(TaskKind)


def _settings(settings: Model, unused: Collection[str] = ()) -> dict[str, str]:
    """Params by their names in a Study, those of nested settings as `parser.beamSize`."""
    params: dict[str, str] = {}
    for name, value in settings.model_dump(mode="json", exclude=set(unused)).items():
        nested = {f"{name}.{inner}": it for inner, it in value.items()} if isinstance(value, dict) else {name: value}
        params |= {key: str(it) for key, it in nested.items()}
    return params


def _text(stream: TextStream) -> dict[str, str]:
    return {
        "text.languages": ",".join(ref.language for ref in stream.data),
        "text.ratio": stream.ratio,
        "text.smoothing": stream.smoothing,
        "text.maskProbability": stream.mask_probability,
    }


def _scaling(store: ObjectStore, config: ScalingConfig, facts: ScalingFacts) -> dict[str, Any]:
    params = {"rows": str(facts.rows)}
    if config.seed is not None:
        params["subset_seed"] = str(config.seed)
    params |= {f"rows.{name_in(subset.task, subset.data.language)}": str(subset.rows) for subset in facts.subsets}
    datasets = [_use(store, subset.data, "training", subset_ids=subset.ids_digest) for subset in facts.subsets]
    return {"params": params, "datasets": datasets}


def _training(
    store: ObjectStore, config: TrainingConfig, manifest: ArtifactManifest, facts: TrainingFacts
) -> dict[str, Any]:
    unused = unused_settings(
        _kinds(*(task.task for task in config.tasks)), tuning=config.settings.tuning, text=config.text is not None
    )
    params = {
        "tasks": ",".join(task.name for task in config.tasks),
        "seed": str(config.seed),
        "budget": f"{config.budget.steps} steps" if config.budget.steps else f"{config.budget.epochs} epochs",
        "steps": str(facts.steps),
        "examples": str(facts.examples),
        **_settings(config.settings, unused),
        # What tasks may have of their own, in the order of `tasks`.
        "gradientAccumulation": ",".join(str(task.gradient_accumulation) for task in config.tasks),
    }
    if manifest.kind == "intermediate-training":
        params["lossScale"] = ",".join(task.loss_scale for task in config.tasks)
    if len(config.tasks) > 1:
        params["weight"] = ",".join(str(task.weight) for task in config.tasks)
    if text := config.text:
        params |= _text(text) | {"text.gradientAccumulation": str(config.settings.gradient_accumulation)}
    return {
        "params": params,
        "tags": {f"xstilts.degenerate.{task}": reason for task, reason in facts.degenerate.items()},
        "history": list(_history(facts)),
        "datasets": [_use(store, task.train, "training") for task in config.tasks]
        + [_use(store, ref, "training") for ref in (config.text.data if config.text else ())]
        + [_use(store, task.dev, "dev") for task in config.tasks],
        "checkpoints": _checkpoints(store, manifest, facts),
    }


def _checkpoints(store: ObjectStore, manifest: ArtifactManifest, facts: TrainingFacts) -> list[Checkpoint]:
    address = stage_address(manifest.kind, manifest.key)
    return [
        Checkpoint(
            name=checkpoint.name,
            step=checkpoint.step,
            uri=f"{store.uri}/{address}/{checkpoint.path}",
            digest=manifest.content_below(f"{checkpoint.path}/"),
            metrics={f"dev/{name}": value for name, value in checkpoint.scores.items()},
        )
        for checkpoint in facts.checkpoints
    ]


def _history(facts: TrainingFacts) -> Iterator[Point]:
    for look in facts.history:
        yield Point("train/loss", look.step, look.loss)
        yield from (Point(f"dev/{name}", look.step, value) for name, value in sorted(look.scores.items()))


def _evaluation(
    store: ObjectStore, config: EvaluationConfig, manifest: ArtifactManifest, facts: EvaluationFacts
) -> dict[str, Any]:
    uses = {ref.language: _use(store, ref, "evaluation") for ref in config.data}
    names = [scores.checkpoint for scores in facts.checkpoints]
    kinds = _kinds(config.task)
    params = {"task": facts.task, "checkpoints": ",".join(names), "metric": facts.metric}
    params |= _settings(config.settings, () if TaskKind.SPAN_EXTRACTION in kinds else {"doc_stride"})
    if retrieval := config.retrieval:
        mined = TaskKind.BITEXT_MINING in kinds
        similarity = similarity_of(TaskKind.BITEXT_MINING if mined else TaskKind.RETRIEVAL, retrieval)
        unused = () if similarity is Similarity.MARGIN else {"neighbours"}
        params |= _settings(retrieval, unused) | {"layer": str(facts.layer), "similarity": similarity.value}
    return {
        "params": params,
        "datasets": list(uses.values()),
        "scores": [
            score
            for found in facts.checkpoints
            for score in _scores(found, uses, stage=manifest.inputs["encoder"].rsplit("/", 1)[-1])
        ],
    }


def _scores(found: CheckpointScores, uses: Mapping[str, DatasetUse], *, stage: str) -> Iterator[Score]:
    """Those of a checkpoint's languages, and the means over them of each metric, each under a name of its own.

    MLflow shows one value per name and run, so numbers that share a name would hide each other.
    """
    model = None if found.checkpoint == BASE_CHECKPOINT else CheckpointRef(stage, found.checkpoint)

    def score(metric: str, value: float, use: DatasetUse | None) -> Score:
        return Score(metric=f"eval/{metric}", value=value, step=found.step, model=model, dataset=use)

    for metric in dict.fromkeys(metric for entry in found.languages for metric in entry.metrics):
        for scope, value in found.by_scope(metric).items():
            yield score(f"{metric}/{scope}", value, uses.get(scope))


def _use(store: ObjectStore, ref: SplitRef, context: Context, **tags: str) -> DatasetUse:
    return DatasetUse(
        name=f"{ref.dataset}/{ref.split}.{ref.language}",
        digest=ref.digest,
        source=f"{store.uri}/{ref.address}.json",
        context=context,
        tags={"language": ref.language, **tags},
    )
