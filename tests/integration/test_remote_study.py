"""A study whose store is a real S3 server and whose tracker is a real MLflow server, and then another server."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import yaml

from cluster import mlflow_server, s3
from studies import DATASETS, study_document
from xstilts.store import open_store
from xstilts.store.datasets import put_dataset
from xstilts.tasks.datasets import scan


def test_a_study_runs_on_s3_and_is_published_to_a_second_server_without_running_again(
    tiny_workdir: Path, s3_credentials: s3.S3Server
) -> None:
    store = {
        "uri": f"s3://{s3_credentials.bucket}/{uuid.uuid4().hex}",
        "endpoint": s3_credentials.endpoint,
        "pathStyle": True,
    }
    opened = open_store(store["uri"], endpoint=s3_credentials.endpoint, path_style=True)
    for name in DATASETS:
        put_dataset(opened, scan(name, tiny_workdir / "data"), tiny_workdir / "data")
    recipes = [{"name": "mnli", "tasks": [{"name": "mnli"}]}]
    made: list[dict[str, float]] = []
    receipts = []
    for _ in range(2):
        with mlflow_server.start() as server:
            document = study_document(store=store, tracking={"uri": server}, recipes=recipes)
            (tiny_workdir / "study.yaml").write_text(yaml.safe_dump(document))
            run(tiny_workdir)
            assert registered(server) == {("tiny.baseline", 3), ("tiny.mnli", 6)}
        entries = list(opened.list("stages/"))
        made.append({entry.key: entry.modified for entry in entries if entry.key.endswith("/manifest.json")})
        receipts.append(sum("/receipts/" in entry.key for entry in entries))
    assert made[0] == made[1], "nothing was made again"
    assert receipts == [len(made[0]), 2 * len(made[0])]


def run(workdir: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(workdir / "state")}
    command = (sys.executable, "-m", "xstilts.cli", "run", "study.yaml", "--out", "report")
    done = subprocess.run(command, cwd=workdir, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def registered(server: str) -> set[tuple[str, int]]:
    """Registered models with their number of versions, as the server says."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(server)
    names = [model.name for model in client.search_registered_models()]
    return {(name, len(client.search_model_versions(f"name = '{name}'"))) for name in names}
