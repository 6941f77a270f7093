"""`xstilts verify`: all is well after a study, and each way in which a number can go wrong is found."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_stages import run_all

from studies import TinyStudy, accept_in
from xstilts import acceptance, report
from xstilts.cli import study as commands
from xstilts.core.errors import IntegrityError, UserError
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.results import EvaluationFacts
from xstilts.report.verification import COLUMNS, Verification, verification_csv, verify
from xstilts.stages import VERSIONS
from xstilts.store import artifacts
from xstilts.tracking import MemoryTracker


@pytest.fixture(scope="module")
def done_study(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyStudy:
    workdir = shutil.copytree(tiny_inputs, tmp_path_factory.mktemp("verified") / "work")
    recipes = [{"name": "mnli", "tasks": [{"name": "mnli"}]}]
    tiny = accept_in(workdir, recipes=recipes, protocols=["Last", "Best", "Oracle"])
    run_all(tiny, MemoryTracker())
    report.write_report(collected(tiny), workdir / "report")
    return tiny


@pytest.fixture
def study(done_study: TinyStudy, tmp_path: Path) -> TinyStudy:
    """A copy of its own, to be spoilt."""
    return replace(done_study, workdir=shutil.copytree(done_study.workdir, tmp_path / "work"))


def manifests(tiny: TinyStudy) -> dict[str, ArtifactManifest]:
    return dict(acceptance.observe(tiny.plan, tiny.store, server="any").manifests)


def collected(tiny: TinyStudy) -> report.Results:
    made = manifests(tiny)
    trainings = acceptance.trainings(tiny.plan, made)
    return report.collect(tiny.plan, acceptance.evaluations(tiny.plan, made), training=trainings)


def verified(tiny: TinyStudy, *, weights: bool = False) -> Verification:
    return verify(tiny.plan, manifests(tiny), tiny.store, report=tiny.workdir / "report", weights=weights)


def xsid(tiny: TinyStudy) -> str:
    return tiny.plan.trials[0].evaluations["xsid"]


def blob(tiny: TinyStudy, address: str, path: str) -> Path:
    file = next(file for file in manifests(tiny)[address].files if file.path == path)
    return tiny.workdir / "store" / artifacts.blob_key(file.sha256)


def rewrite_manifest(tiny: TinyStudy, address: str, change: Callable[[ArtifactManifest], ArtifactManifest]) -> None:
    changed = change(manifests(tiny)[address])
    tiny.store.put(artifacts.manifest_key(address), json.dumps(changed.document()).encode())


def test_every_number_of_a_study_agrees_and_says_where_it_comes_from(done_study: TinyStudy, tmp_path: Path) -> None:
    found = verified(done_study, weights=True)
    assert not found.problems
    assert all(number.agrees for number in found.numbers)
    results = collected(done_study)
    assert [number.reported for number in found.numbers] == [score.value for score in results.scores]
    assert {number.protocol for number in found.numbers} == {"last", "best", "oracle"}
    for number in found.numbers:
        assert number.runs
        assert number.data.startswith(f"{number.target}/test.{number.language}@")
        assert number.stage_versions.split()[0] == f"evaluation:{VERSIONS['evaluation']}"
    trained = next(number for number in found.numbers if number.trial.startswith("mnli") and number.target == "xsid")
    kinds = [part.split(":")[0] for part in trained.stage_versions.split()]
    assert kinds == ["evaluation", "target-training", "intermediate-training", "data-scaling"]
    rows = list(csv.DictReader(verification_csv(found).splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(found.numbers)


def test_a_number_that_its_predictions_do_not_give_is_found(study: TinyStudy) -> None:
    def improved(manifest: ArtifactManifest) -> ArtifactManifest:
        facts = EvaluationFacts.model_validate(manifest.facts).document()
        facts["checkpoints"][1]["languages"][1]["metrics"]["slot_f1"] += 1.5
        return manifest.model_copy(update={"facts": facts})

    rewrite_manifest(study, xsid(study), improved)
    problems = verified(study).problems
    assert any("slot_f1 of xsid in 'de', checkpoint best, is" in problem for problem in problems), problems


def test_predictions_that_were_changed_are_found(study: TinyStudy) -> None:
    path = blob(study, xsid(study), "predictions/averaged/test.de.jsonl")
    path.write_text(path.read_text().replace('"intent"', '"intenT"', 1))
    found = verified(study)
    assert any("predictions/averaged/test.de.jsonl" in problem for problem in found.problems), found.problems
    assert any(number.recomputed is None for number in found.numbers)


def test_gold_that_the_data_set_does_not_have_is_found(study: TinyStudy) -> None:
    """Even where the manifest fits the changed predictions."""
    address, path = xsid(study), "predictions/averaged/test.de.jsonl"
    folder = study.workdir / "changed"
    manifest = artifacts.fetch(study.store, address, folder)
    lines = (folder / path).read_text().splitlines()
    row = json.loads(lines[0])
    (folder / path).write_text("\n".join([json.dumps({**row, "gold": row["prediction"]}), *lines[1:]]) + "\n")
    study.store.delete(artifacts.manifest_key(address))
    artifacts.publish(study.store, address, folder, manifest.model_copy(update={"files": ()}))
    problems = verified(study).problems
    assert any("row 0 (from 0) has id" in problem for problem in problems), problems


def test_a_manifest_under_the_key_of_another_config_is_found(study: TinyStudy) -> None:
    rewrite_manifest(
        study, xsid(study), lambda manifest: manifest.model_copy(update={"inputs": {"encoder": "models/other"}})
    )
    assert any("in its manifest make the key" in problem for problem in verified(study).problems)


def test_weights_that_were_changed_are_found_when_they_are_asked_for(study: TinyStudy) -> None:
    training = study.plan.trials[0].trainings["xsid"]
    path = blob(study, training, "checkpoints/last/model.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert not verified(study).problems
    assert any(problem.startswith(training) for problem in verified(study, weights=True).problems)


def test_a_report_that_says_something_else_is_found(study: TinyStudy) -> None:
    table = study.workdir / "report" / "results.csv"
    table.write_text(table.read_text().replace("0.0", "1.0", 1))
    means = table.with_name("means.csv")
    means.write_text(means.read_text().replace("0.0", "1.0", 1))
    summary = study.workdir / "report" / "summary.json"
    document = json.loads(summary.read_text())
    document["summaries"][0]["median"] += 1
    summary.write_text(json.dumps(document))
    problems = verified(study).problems
    assert len(problems) == 3
    assert "results.csv differs" in problems[0]
    assert "means.csv differs" in problems[1]
    assert "summaries differ" in problems[2]
    table.unlink()
    with pytest.raises(UserError, match="xstilts report"):
        verified(study)


def test_the_command_writes_the_table_and_fails_where_something_is_wrong(
    study: TinyStudy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study.workdir)
    (study.workdir / "study.yaml").write_text(json.dumps(study.study.document()))
    commands.verify(Path("study.yaml"), out=Path("report"))
    assert "report/verification.csv" in capsys.readouterr().out
    assert (study.workdir / "report" / "verification.csv").read_text().startswith("trial,target,protocol")
    blob(study, xsid(study), "predictions/averaged/test.de.jsonl").write_text("{}\n")
    with pytest.raises(IntegrityError, match="problems:"):
        commands.verify(Path("study.yaml"), out=Path("report"))
