"""What the Local engine adds to a stage: the same tiny stages through its fork server, and as plain processes.

    make bench-local

The peer is `python -m xstilts.stages`, as containers start stages: it pays the imports each time. Both run the same
`data-scaling` stages on generated data, publish to SQLite, and alternate, so that noise hits both.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from xstilts import acceptance
from xstilts.api.study import Study
from xstilts.core.configs import CONFIGS
from xstilts.core.plan import Plan, PlannedStage
from xstilts.engines.job import Job
from xstilts.engines.process import Child
from xstilts.stages.runner import StageRequest
from xstilts.store.datasets import put_dataset
from xstilts.store.open import open_store
from xstilts.tasks.datasets import scan
from xstilts.tasks.synthetic import synthesize
from xstilts.training import init_model

REPEATS = 10


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        study, planned = prepare(Path(name))
        stages = [stage for stage in planned.stages.values() if stage.kind == "data-scaling"]
        forked, plain = [], []
        through_engine(study, planned, stages.pop())  # starts the server and creates the database
        for first, second in zip(stages[::2], stages[1::2], strict=False):
            forked.append(timed(lambda stage=first: through_engine(study, planned, stage)))
            plain.append(timed(lambda stage=second: as_process(study, planned, stage)))
    ratio = statistics.median(b / a for a, b in zip(forked, plain, strict=True))
    print(f"fork server   median {statistics.median(forked):.2f} s a stage, {len(forked)} stages")
    print(f"plain process median {statistics.median(plain):.2f} s a stage")
    print(f"ratio         {ratio:.1f} times faster")


def prepare(folder: Path) -> tuple[Study, Plan]:
    """A study with enough small data-scaling stages."""
    synthesize(folder / "data", scale=0.05, languages=("en", "de", "hi"))
    text = [line for file in sorted((folder / "data/text").iterdir()) for line in file.read_text().splitlines()]
    init_model(text, folder / "model", vocab_size=400, hidden_size=16, heads=2)
    store = open_store("store")
    for dataset in ("mnli", "tatoeba"):
        put_dataset(store, scan(dataset, folder / "data"), folder / "data")
    spec = {
        "model": {"uri": "model"},
        "recipes": [{"name": "mnli", "tasks": [{"name": "mnli"}]}],
        "sizes": [20],
        "subsetSeeds": list(range(2 * REPEATS + 1)),
        "seeds": [1],
        "targets": [{"name": "tatoeba", "languages": ["de"]}],
        "store": {"uri": "store"},
        "tracking": {"uri": "sqlite:///mlflow.db"},
    }
    study = Study.model_validate({"metadata": {"name": "bench"}, "spec": spec})
    return study, acceptance.accept(study, store)


def timed(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def through_engine(study: Study, planned: Plan, stage: PlannedStage) -> None:
    request = StageRequest(
        kind=stage.kind,
        config=CONFIGS[stage.kind].model_validate(stage.config),
        inputs=stage.inputs,
        publication=acceptance.publication_of(planned, stage),
    )
    job = Job(
        work=request,
        store=study.spec.store,
        tracking=study.spec.tracking,
        experiment="bench",
        scratch=Path("scratch"),
        log=Path("log"),
        lease_seconds=10,
        checkpoint_seconds=60,
    )
    outcome = Child.spawn(job).wait()
    assert outcome is not None
    assert outcome.exit_code == 0, outcome


def as_process(study: Study, planned: Plan, stage: PlannedStage) -> None:
    documents = {
        "config": stage.config,
        "store": study.spec.store.document(),
        "tracking": study.spec.tracking.document(),
        "publication": acceptance.publication_of(planned, stage).document(),
    }
    options = [part for name, document in documents.items() for part in (f"--{name}", json.dumps(document))]
    command = [sys.executable, "-m", "xstilts.stages", stage.kind, *options]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
