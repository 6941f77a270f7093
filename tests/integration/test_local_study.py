"""`xstilts run` as a person runs it: from a file to a report, again for nothing, and after being killed at any moment."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from studies import study_document
from xstilts.store.open import open_store

COMMAND = (sys.executable, "-m", "xstilts.cli", "run", "study.yaml", "--out", "report")


def write_study(workdir: Path, **changes: object) -> Path:
    (workdir / "study.yaml").write_text(yaml.safe_dump(study_document(**changes)))
    return workdir


def environment(workdir: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(workdir / "state"), "XSTILTS_LEASE_SECONDS": "5"}


def run(workdir: Path) -> str:
    finished = subprocess.run(
        COMMAND, cwd=workdir, env=environment(workdir), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def scores(workdir: Path) -> list[dict[str, str]]:
    with (workdir / "report" / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def versions(workdir: Path) -> Counter[tuple[str, str, str]]:
    """How often each checkpoint of each stage is registered, as MLflow itself says."""
    script = (
        "import json; from mlflow.tracking import MlflowClient\n"
        "found = MlflowClient('sqlite:///mlflow.db').search_model_versions(max_results=1000)\n"
        "print(json.dumps([(v.name, v.tags['xstilts.stage_key'], v.tags['xstilts.checkpoint']) for v in found]))"
    )
    command = (sys.executable, "-W", "ignore", "-c", script)
    out = subprocess.run(command, cwd=workdir, capture_output=True, text=True, check=True).stdout
    return Counter((name, key, checkpoint) for name, key, checkpoint in json.loads(out.splitlines()[-1]))


@pytest.fixture(scope="session")
def undisturbed(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny study ran from start to end."""

    workdir = write_study(shutil.copytree(tiny_inputs, tmp_path_factory.mktemp("undisturbed") / "work"))
    run(workdir)
    return workdir


def test_a_run_ends_with_scores_a_report_and_the_command_that_opens_mlflow(undisturbed: Path) -> None:
    rows = scores(undisturbed)
    assert {row["trial"] for row in rows} == {"baseline-s1", "mnli-40-d1-u6-s1", "mix-40-d1-u6-s1"}
    assert {(row["target"], row["language"]) for row in rows} == {
        *(("xsid", language) for language in ("en", "de", "hi")),
        ("tatoeba", "de"),
    }
    page = (undisturbed / "report" / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in page


def test_every_checkpoint_is_registered_once(undisturbed: Path) -> None:
    found = versions(undisturbed)
    assert set(found.values()) == {1}
    assert Counter(name for name, _, _ in found) == {"tiny.baseline": 3, "tiny.mnli": 6, "tiny.mix": 6}


def test_a_second_run_starts_no_stage(undisturbed: Path) -> None:
    before = {entry.key: entry.modified for entry in open_store(str(undisturbed / "store")).list("stages/")}
    report = (undisturbed / "report" / "report.html").read_bytes()
    assert ", 0 to run" in run(undisturbed)
    assert {entry.key: entry.modified for entry in open_store(str(undisturbed / "store")).list("stages/")} == before
    assert (undisturbed / "report" / "report.html").read_bytes() == report


def signal_when(workdir: Path, number: signal.Signals, *, manifests: int) -> tuple[int, str]:
    """Starts the study and signals its whole process group as soon as so many stages are done, and others under way."""
    process = subprocess.Popen(
        ("env", "--default-signal=INT", *COMMAND),  # a shell starts what runs in the background with Ctrl-C ignored
        cwd=workdir,
        env=environment(workdir),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list((workdir / "store" / "stages").glob("*/*/manifest.json"))) < manifests:
        assert process.poll() is None, "the run ended before it could be signalled"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number)
    output, _ = process.communicate()
    return process.returncode, output


def test_a_study_killed_three_times_ends_as_if_nothing_had_happened(undisturbed: Path, tiny_workdir: Path) -> None:
    write_study(tiny_workdir)
    for manifests in (1, 4, 9):
        signal_when(tiny_workdir, signal.SIGKILL, manifests=manifests)
    run(tiny_workdir)
    assert scores(tiny_workdir) == scores(undisturbed)
    assert versions(tiny_workdir) == versions(undisturbed)


def test_ctrl_c_leaves_a_state_that_the_next_run_continues(undisturbed: Path, tiny_workdir: Path) -> None:
    write_study(tiny_workdir)
    code, output = signal_when(tiny_workdir, signal.SIGINT, manifests=2)
    assert code == 130
    assert output.strip().endswith("Stopped. The same command goes on from here.")
    leases = [json.loads(path.read_bytes()) for path in (tiny_workdir / "store" / "stages").glob("*/*/lease.json")]
    assert {lease["holder"] for lease in leases} == {None}, "nobody has to wait for a lease to expire"
    run(tiny_workdir)
    assert scores(tiny_workdir) == scores(undisturbed)


def test_a_failed_stage_is_told_with_its_reason_and_the_others_go_on(tiny_workdir: Path) -> None:
    """A training that diverges is hopeless; what needs no training is still done."""
    targets = [{"name": "tatoeba", "languages": ["de"]}, {"name": "xsid", "languages": ["en"]}]
    training = {"target": {"learningRate": "1000000", "epochs": "50", "batchSize": 8, "maxGradNorm": "1000000"}}
    write_study(
        tiny_workdir,
        targets=targets,
        sizes=["0"],
        recipes=[],
        training=training,
        failurePolicy={"maxFailedTrials": 1},
    )
    command = subprocess.run(
        COMMAND, cwd=tiny_workdir, env=environment(tiny_workdir), capture_output=True, text=True, check=False
    )
    assert command.returncode == 3
    assert "DivergenceError" in command.stderr
    assert "baseline-s1" in command.stderr
    assert {row["target"] for row in scores(tiny_workdir)} == {"tatoeba"}


def test_weights_that_a_study_does_not_keep_go_at_its_end_and_come_back_for_a_new_result(tiny_workdir: Path) -> None:
    small = {"recipes": [], "sizes": ["0"], "retention": {"checkpoints": "None"}}
    write_study(tiny_workdir, targets=[{"name": "xsid", "languages": ["en"]}], **small)
    assert "Evicted: the weights of 1 stages" in run(tiny_workdir)
    store = open_store(str(tiny_workdir / "store"))
    (training,) = [info.key for info in store.list("stages/target-training/") if info.key.endswith("/manifest.json")]
    first = json.loads(store.read(training))
    again = run(tiny_workdir)
    assert ", 0 to run" in again
    assert "Evicted" not in again

    write_study(tiny_workdir, targets=[{"name": "xsid", "languages": ["en", "de"]}], **small)
    output = run(tiny_workdir)
    assert ", 2 to run" in output, "the new evaluation, and the weights that it starts from"
    assert "Evicted: the weights of 1 stages" in output
    second = json.loads(store.read(training))
    assert second["files"] == first["files"], "the same weights, bit for bit"
    assert second["provenance"]["leaseEpoch"] > first["provenance"]["leaseEpoch"]
    assert {row["language"] for row in scores(tiny_workdir)} == {"en", "de"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"engine": {"type": "Jobs"}}, ["spec.engine.type", "Local"]),
        ({"model": {"uri": "nowhere"}}, ["nowhere"]),
        ({"targets": [{"name": "xsod"}]}, ["spec.targets[0].name", "xsid"]),
        ({"store": {"uri": "ftp://x"}}, ["ftp://x", "s3://"]),
        ({"tracking": {"uri": "ftp://x"}}, ["ftp", "sqlite:///"]),
    ],
    ids=["an engine that needs a cluster", "no model", "an unknown target", "an unknown store", "an unknown tracker"],
)
def test_what_cannot_run_is_explained_without_a_traceback(
    tiny_workdir: Path, change: dict[str, object], expected: list[str]
) -> None:
    write_study(tiny_workdir, **change)
    command = subprocess.run(COMMAND, cwd=tiny_workdir, capture_output=True, text=True, check=False)
    assert command.returncode == 2, command.stdout + command.stderr
    assert all(part in command.stderr for part in expected), command.stderr
    assert "Traceback" not in command.stderr


CHILDREN = """
import os, signal
from xstilts.engines.process import Child

class Job:
    log = "child.log"

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):  # what its process does when it reads it
        return self.call[0], self.call[1:]

print("loaded", flush=True)
if __name__ == "__main__":
    for job in (Job(int, "seven"), Job(os.abort), Job(signal.raise_signal, signal.SIGKILL)):
        ending = Child.spawn(job).wait()
        print(ending.exit_code, ending.told)
"""


def test_a_stage_that_dies_is_told_from_one_that_was_killed_and_runs_no_script_of_its_parent(tmp_path: Path) -> None:
    """multiprocessing would run the script, with all imports of the command line, in the process of each stage."""
    script = tmp_path / "script.py"
    script.write_text(CHILDREN)
    told = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == [
        "loaded",
        "1 ProcessDied: exit code 1; see child.log",
        "1 ProcessDied: SIGABRT; see child.log",
        "11 ProcessDied: SIGKILL from outside, as when memory runs out; see child.log",
    ]
