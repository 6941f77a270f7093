"""The commands that run nothing, as a person types them."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from studies import TinyStudy, study_document
from xstilts import acceptance
from xstilts.api.load import load_study
from xstilts.cli import app
from xstilts.core.errors import UserError
from xstilts.core.planner import plan
from xstilts.store.memory import MemoryStore

EXAMPLES = Path(__file__).parents[2] / "examples"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_study_to_begin_with_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("init", "study.yaml", "--name", "mine").exit_code == 0
    valid = call("validate", "study.yaml")
    assert valid.exit_code == 0, valid.output
    assert isinstance(call("init", "study.yaml").exception, UserError), "an existing file is not overwritten"


@pytest.mark.parametrize("study", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_example_is_valid(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    valid = call("validate", study)
    assert valid.exit_code == 0, valid.output


def test_validate_contacts_neither_the_store_nor_any_server(tmp_path: Path) -> None:
    study = study_document(
        store={"uri": "s3://bucket/prefix", "endpoint": "http://127.0.0.1:9", "region": "us-east-1"},
        tracking={"uri": "http://127.0.0.1:9"},
    )
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    valid = call("validate", tmp_path / "study.yaml")
    assert valid.exit_code == 0, valid.output
    assert "3 trials" in valid.output


def test_validate_checks_sizes_against_the_store_only_where_it_is_asked_to(tiny_inputs: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert call("data", "import", "mnli", "--from", tiny_inputs / "data", "--store", store).exit_code == 0
    recipe = {"name": "mnli", "tasks": [{"name": "mnli"}], "sizes": ["200000"]}
    study = study_document(recipes=[recipe], store={"uri": str(store)})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    assert call("validate", tmp_path / "study.yaml").exit_code == 0
    refused = call("validate", tmp_path / "study.yaml", "--with-store")
    assert "200000 is more than the 120 rows" in str(refused.exception)


def test_a_size_is_not_too_large_where_no_number_of_rows_is_published(tmp_path: Path) -> None:
    recipe = {"name": "ours", "tasks": [{"name": "mnli", "data": "our_nli"}], "sizes": ["5000"]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study_document(recipes=[recipe])))
    valid = call("validate", tmp_path / "study.yaml")
    assert valid.exit_code == 0, valid.exception


def test_the_control_of_the_demo_leaves_out_pretraining_and_nothing_that_its_baseline_has() -> None:
    study, control = (yaml.safe_load((EXAMPLES / "demo" / f"{name}.yaml").read_text()) for name in ("study", "control"))
    assert study["spec"].pop("pretraining")
    for axis in ("recipes", "subsetSeeds", "budgets"):
        assert axis not in control["spec"]
        study["spec"].pop(axis)
    assert control["spec"].pop("sizes") == ["0"]
    assert "0" in study["spec"].pop("sizes")
    study["spec"]["training"].pop("intermediate")
    targets = control["spec"].pop("targets")
    assert [target for target in study["spec"].pop("targets") if target in targets] == targets
    assert control["spec"] == study["spec"]


def test_the_plan_of_the_published_sweep_counts_what_sharing_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    planned = call("plan", EXAMPLES / "sweep" / "study.yaml", "--tokens-per-second", "50000").output
    # 49 cells of task and size, of which nine are full, and seven of the mixture: 40 x 3 + 9 + 6 x 3 + 1 subsets, each
    # trained with 3 seeds in 2 budgets, and the baseline with 3 seeds
    assert 3 * 2 * (40 * 3 + 9 + 6 * 3 + 1) + 3 == 891
    assert "891 trials, 20634 stages; a grid that shares nothing would run 50328" in planned
    assert "not applicable: recipe hellaswag, size 100000: it has 39905 rows" in planned
    assert "size 300000: it has 130319 rows" in planned
    assert "recipe anli" not in planned
    assert "device hours" in planned


def test_the_published_sweep_has_the_nine_tasks_of_the_paper_at_their_published_sizes_in_both_budgets() -> None:
    study = load_study(EXAMPLES / "sweep" / "study.yaml")
    world = acceptance.provisional_world(study, MemoryStore())
    trials = plan(study, world).trials
    full = {trial.point.recipe: trial.point.rows for trial in trials if trial.point.size == "full"}
    nine = {
        "anli-plus": 1_104_934, "mnli": 392_702, "qqp": 363_846, "squad-v2": 130_319, "squad-v1": 87_599,
        "hellaswag": 39_905, "ccg": 38_015, "cosmosqa": 25_262, "commonsenseqa": 9_741,
    }  # fmt: skip
    assert full == nine | {"mixture": sum(nine.values())}
    budgets = {trial.point.budget for trial in trials if trial.point.recipe != "baseline"}
    assert budgets == set(study.spec.budgets)
    assert {budget.steps is None for budget in budgets} == {True, False}


def test_status_and_report_tell_what_is_there(tiny_study: TinyStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_study.workdir)
    study = tiny_study.workdir / "study.json"
    study.write_text(tiny_study.study.model_dump_json(by_alias=True))
    assert "0 of 3 trials succeeded" in call("status", study).output
    report = call("report", study, "--out", "report")
    assert report.exit_code == 0, report.output
    assert "no result yet" in report.output
    assert (tiny_study.workdir / "report" / "report.html").exists()


def test_data_sets_are_imported_listed_and_refused_by_name(tiny_inputs: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported = call("data", "import", "mnli", "xsid", "--from", tiny_inputs / "data", "--store", store)
    assert imported.exit_code == 0, imported.output
    assert "train.en 120" in imported.output
    assert "warning: mnli train.en has 120 rows; 392,702 were published" in imported.output
    assert "test.de has" not in imported.output, "published numbers are those of English"
    assert "xsid" in call("data", "list", "--store", store).output
    unknown = call("data", "import", "mnly", "--from", tiny_inputs / "data", "--store", store)
    assert "did you mean" in str(unknown.exception)
    unnamed = call("data", "import", "mnli", "--from", tiny_inputs / "data", "--store", store, "--file", "train.tsv")
    assert "split:language=path" in str(unnamed.exception)


def test_a_study_that_never_ran_has_no_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call("init", "study.yaml")
    assert "never accepted" in str(call("status", "study.yaml").exception)
