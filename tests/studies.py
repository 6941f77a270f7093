"""A study that is small enough to run in a test: generated data, a tiny encoder, one trained target and retrieval."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from xstilts import acceptance
from xstilts.api.study import Study
from xstilts.core.plan import Plan, PlannedStage
from xstilts.store.datasets import put_dataset
from xstilts.store.open import open_store
from xstilts.store.port import ObjectStore
from xstilts.tasks.datasets import scan
from xstilts.tasks.synthetic import synthesize

DATASETS = ("mnli", "hellaswag", "xsid", "tatoeba")
ROWS = {"mnli/train": 120, "mnli/dev": 20, "hellaswag/train": 40, "hellaswag/val": 10, "xsid/train": 60}
SMALL = {"xnli/dev": 10, "xnli/test": 10, "pawsx/train": 10, "pawsx/dev": 5, "pawsx/test": 5, "squad/train": 40}
SMALL |= {"squad/dev": 5, "xquad/test": 5, "udpos/train": 10, "udpos/dev": 5, "udpos/test": 5, "text": 200}
SMALL |= {"xsid/valid": 20, "xsid/test": 20, "tatoeba/test": 20}


@dataclass(frozen=True)
class TinyStudy:
    """An accepted study whose relative paths mean `workdir`."""

    study: Study
    plan: Plan
    workdir: Path

    @property
    def store(self) -> ObjectStore:
        return open_store(str(self.workdir / self.study.spec.store.uri))


def make_inputs(folder: Path) -> Path:
    """Generated data in `data`, a tiny encoder in `model`, and a store with both data sets imported in `store`."""
    from xstilts.training import init_model  # with torch, which most tests do without

    synthesize(folder / "data", rows=ROWS | SMALL, languages=("en", "de", "hi"))
    texts = [line for file in sorted((folder / "data/text").glob("*.txt")) for line in file.read_text().splitlines()]
    init_model(texts, folder / "model", vocab_size=600, hidden_size=32, layers=2, heads=2, intermediate_size=64)
    store = open_store(str(folder / "store"))
    for name in DATASETS:
        put_dataset(store, scan(name, folder / "data"), folder / "data")
    return folder


def study_document(**changes: Any) -> dict[str, Any]:
    """A study of two recipes and one size above the baseline."""
    spec: dict[str, Any] = {
        "model": {"uri": "model"},
        "recipes": [
            {"name": "mnli", "tasks": [{"name": "mnli"}]},
            {"name": "mix", "tasks": [{"name": "mnli"}, {"name": "hellaswag"}]},
        ],
        "sizes": ["0", "40"],
        "seeds": [1],
        "budgets": [{"steps": 6}],
        "targets": [{"name": "xsid", "languages": ["en", "de", "hi"]}, {"name": "tatoeba", "languages": ["de"]}],
        "training": {
            "intermediate": {"learningRate": "0.001", "batchSize": 8, "maxLength": 64, "evaluateEverySteps": 3},
            "target": {
                "learningRate": "0.001",
                "batchSize": 8,
                "maxLength": 64,
                "epochs": "1",
                "evaluateEverySteps": 4,
            },
        },
        "store": {"uri": "store"},
        "tracking": {"uri": "sqlite:///mlflow.db"},
        "parallelism": 2,
    }
    return {
        "apiVersion": "xstilts.dev/v1alpha1",
        "kind": "Study",
        "metadata": {"name": "tiny"},
        "spec": spec | changes,
    }


def start_stage(
    tiny: TinyStudy, stage: PlannedStage, *launcher: str, log: int | IO[bytes] = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """The stage as its container runs it, with a training checkpoint after every step; `launcher` comes before it."""
    documents = {
        "config": stage.config,
        "store": tiny.study.spec.store.document(),
        "tracking": tiny.study.spec.tracking.document(),
        "publication": acceptance.publication_of(tiny.plan, stage).document(),
    }
    options = [part for name, document in documents.items() for part in (f"--{name}", json.dumps(document))]
    inputs = [part for role, address in stage.inputs.items() for part in (f"--{role}", address)]
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "xstilts.stages", stage.kind, *options, *inputs],
        cwd=tiny.workdir,
        env={**os.environ, "XSTILTS_CHECKPOINT_SECONDS": "0", "XSTILTS_LEASE_SECONDS": "5"},
        stderr=log,
    )


def accept_in(workdir: Path, **changes: Any) -> TinyStudy:
    """Accepts the tiny study, with changes to its spec, in a folder with the inputs."""
    document = study_document(**changes)
    here = document | {"spec": document["spec"] | {"model": {"uri": str(workdir / "model")}}}
    study = Study.model_validate(document)
    plan = acceptance.accept(Study.model_validate(here), open_store(str(workdir / "store")))
    return TinyStudy(study, plan, workdir)
