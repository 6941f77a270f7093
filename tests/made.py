"""Plans whose stages are made without any training: files of a few bytes, and the scores that a test asks for."""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from plans import study, world
from xstilts import acceptance
from xstilts.core.configs import EvaluationConfig
from xstilts.core.keys import canonical_json
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.missing import Done
from xstilts.core.plan import Plan, PlannedStage, Trial
from xstilts.core.planner import plan
from xstilts.core.results import CheckpointFacts, CheckpointScores, EvaluationFacts, LanguageScores, TrainingFacts
from xstilts.stages.publication import receipt_key
from xstilts.store import artifacts, studies
from xstilts.store.port import ObjectStore

TRAINED = {"pretraining", "intermediate-training", "target-training"}
CHECKPOINTS = ("averaged", "best", "last")
SERVER = "memory://"
SHARED = b"the tokenizer of all"


def small_plan(name: str = "s", **changes: object) -> Plan:
    """Two seeds of a baseline and of one recipe, one trained target and retrieval."""
    spec = {
        "recipes": [{"name": "mnli", "tasks": [{"name": "mnli"}]}],
        "sizes": ["0", "full"],
        "targets": [{"name": "xnli"}, {"name": "tatoeba"}],
        **changes,
    }
    return plan(named(study(**spec), name), world())


def named(of: object, name: str):
    return of.model_copy(update={"metadata": of.metadata.model_copy(update={"name": name})})  # type: ignore[attr-defined]


def accepted(store: ObjectStore, planned: Plan) -> Plan:
    """The plan in the store, active."""
    studies.put_plan(store, named(study(), planned.study), planned)
    return planned


def make(
    store: ObjectStore,
    planned: Plan,
    folder: Path,
    *,
    stages: Iterable[str] | None = None,
    scores: Callable[[Trial, str], float] = lambda trial, target: 50.0,
    dev: Callable[[Trial, str], float] = lambda trial, target: 50.0,
    note: str = "",
) -> None:
    """Makes stages, all of the plan by default, and leaves receipts. `note` gets into the content of weights.

    `scores` are test scores by trial and target; `dev` English dev scores by trial and trained target, or by trial and
    `intermediate`.
    """
    wanted = planned.stages if stages is None else stages
    by_evaluation = {
        address: scores(trial, target) for trial in planned.trials for target, address in trial.evaluations.items()
    }
    by_training = {
        address: (name, dev(trial, name))
        for trial in planned.trials
        for name, address in {"intermediate": trial.intermediate, **trial.trainings}.items()
        if address
    }
    for address in wanted:
        stage = planned.stages[address]
        made = folder / address.replace("/", "-")
        score = by_evaluation.get(address, 0.0)
        files = _weights(stage, note) if stage.kind in TRAINED else {"data": f"{stage.kind} {stage.key}".encode()}
        for path, content in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_bytes(content)
        manifest = ArtifactManifest(
            kind=stage.kind, key=stage.key, config=stage.config, inputs=stage.inputs, provenance={"note": note},
            facts=_training_facts(stage, *by_training.get(address, ("", 0.0))) if stage.kind in TRAINED
            else _evaluation_facts(stage, score) if stage.kind == "evaluation" else {},
        )  # fmt: skip
        before = artifacts.load_manifest(store, address)
        artifacts.publish(store, address, made, manifest, replaces=before)
        publication = acceptance.publication_of(planned, stage)
        store.put(receipt_key(address, server=SERVER, publication=publication), canonical_json({"runId": "r"}).encode())


def observed(store: ObjectStore, planned: Plan) -> Done:
    return acceptance.observe(planned, store, server=SERVER)


def trained(planned: Plan) -> list[str]:
    return [address for address, stage in planned.stages.items() if stage.kind in TRAINED]


def weights_there(store: ObjectStore, addresses: Collection[str]) -> set[str]:
    """Those of the addresses whose files are all there."""
    found = {address: artifacts.load_manifest(store, address) for address in addresses}
    return {address for address, manifest in found.items() if manifest and artifacts.verify(store, manifest)}


def _weights(stage: PlannedStage, note: str) -> dict[str, bytes]:
    own = {f"checkpoints/{name}/weights": f"{name} {stage.key} {note}".encode() for name in CHECKPOINTS}
    return own | {f"checkpoints/{name}/tokenizer.json": SHARED for name in CHECKPOINTS}


def _training_facts(stage: PlannedStage, target: str, dev: float) -> dict[str, object]:
    """`dev` is the accuracy of the best checkpoint; those that no score comes from say the opposite."""
    tasks = [target] if stage.kind == "target-training" else [task["task"] for task in stage.config.get("tasks", ())]
    kept = tuple(
        CheckpointFacts(
            name=name,
            path=f"checkpoints/{name}",
            step=1,
            scores={f"{task}/accuracy": dev if name == "best" else 100.0 - dev for task in tasks},
        )
        for name in CHECKPOINTS
    )
    facts = TrainingFacts(steps=1, examples=1, trainable_parameters=1, history=(), checkpoints=kept, degenerate={})
    return facts.document()


def _evaluation_facts(stage: PlannedStage, score: float) -> dict[str, object]:
    config = EvaluationConfig.model_validate(stage.config)
    languages = tuple(
        LanguageScores(
            language=ref.language,
            data=ref,
            rows=1,
            metrics={"accuracy": 99.0 - score if ref.language == "en" else score},
            predictions="data",
        )
        for ref in config.data
    )
    scores = tuple(CheckpointScores(checkpoint=name, languages=languages) for name in config.checkpoints)
    return EvaluationFacts(task=config.task, metric="accuracy", checkpoints=scores).document()
