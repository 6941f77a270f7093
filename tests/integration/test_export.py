"""`xstilts export xtreme` on an accepted study whose evaluations are in the store."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner, Result

import xtreme
from studies import TinyStudy, accept_in
from xstilts import metrics
from xstilts.cli import app
from xstilts.core.errors import UserError
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.results import CheckpointScores, EvaluationFacts, LanguageScores
from xstilts.store import artifacts
from xstilts.store.datasets import fetch_split, load_split, put_dataset
from xstilts.tasks import registry
from xstilts.tasks.datasets import read_split, scan
from xstilts.tasks.gold import gold

LANGUAGES = {"xnli": ["de", "en", "hi"], "udpos": ["de", "en"], "xquad": ["en", "hi"], "tatoeba": ["de", "hi"]}
TRIAL = "baseline-s1"


def accept(workdir: Path, targets: dict[str, list[str]]) -> TinyStudy:
    for name in ("xnli", "udpos", "squad_v1", "xquad"):
        store = accept_in(workdir, recipes=[], sizes=["0"]).store
        put_dataset(store, scan(name, workdir / "data"), workdir / "data")
    listed = [{"name": name, "languages": languages} for name, languages in targets.items()]
    tiny = accept_in(workdir, recipes=[], sizes=["0"], targets=listed)
    (workdir / "study.json").write_text(tiny.study.model_dump_json(by_alias=True))
    return tiny


def evaluate(tiny: TinyStudy, task: str) -> dict[str, dict[str, float]]:
    """Publishes an evaluation in which every third answer is the next row's, and writes labels as XTREME has them.

    Metrics by language.
    """
    (trial,) = tiny.plan.trials
    stage = tiny.plan.stages[trial.evaluations[task]]
    known = registry.get(task)
    with TemporaryDirectory() as name:
        folder, entries = Path(name) / "artifact", []
        for ref in stage.config["data"]:  # type: ignore[attr-defined]
            address = f"datasets/{ref['dataset']}/splits/{ref['digest']}"
            split = next(
                split for split in scan(ref["dataset"], tiny.workdir / "data").splits if split.ref.address == address
            )
            examples = list(read_split(split, fetch_split(tiny.store, load_split(tiny.store, split.ref), Path(name))))
            right = [row if task == "tatoeba" else gold(example) for row, example in enumerate(examples)]
            wrong = [right[(row + (row % 3 == 0)) % len(right)] for row in range(len(right))]
            if task == "udpos":
                wrong = [["X" if at % 3 == 0 else tag for at, tag in enumerate(tags)] for tags in right]
            found = [answers[0] for answers in wrong] if task == "xquad" else wrong
            path = f"predictions/last/{split.split}.{split.language}.jsonl"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            lines = [
                {"id": example.id, "gold": one, "prediction": other}
                for example, one, other in zip(examples, right, found, strict=True)
            ]
            (folder / path).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
            scores = metrics.score(known.kind, right, found, rules=known.rules, language=split.language)
            entries.append(
                LanguageScores(
                    language=split.language, data=split.ref, rows=len(right), metrics=scores, predictions=path
                )
            )
            rows = [
                (example.id, one, getattr(example, "english", "")) for example, one in zip(examples, right, strict=True)
            ]
            xtreme.write_labels(tiny.workdir / "labels", task, split.language, rows)
        facts = EvaluationFacts(
            task=task,
            metric=known.spec.metric,
            checkpoints=(CheckpointScores(checkpoint="last", languages=tuple(entries)),),
        )
        manifest = ArtifactManifest(kind="evaluation", key=stage.key, facts=facts.document())
        artifacts.publish(tiny.store, stage.address, folder, manifest)
    return {entry.language: entry.metrics for entry in entries}


def export(*options: str, trial: str = TRIAL) -> Result:
    return CliRunner().invoke(app, ["export", "xtreme", "study.json", "--trial", trial, "--out", "out", *options])


def test_xtreme_finds_the_scores_of_the_report(tiny_workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_workdir)
    tiny = accept(tiny_workdir, LANGUAGES)
    found = {task: evaluate(tiny, task) for task in LANGUAGES}
    written = export()
    assert written.exit_code == 0, written.output
    assert "warning: xnli: ar, bg, el, es, fr, ru, sw, th, tr, ur, vi, zh missing" in written.output
    assert "warning: bucc2018: no predictions" in written.output
    assert "warning: udpos: imported as conllu" in written.output
    scores = xtreme.evaluate(tiny_workdir / "out", tiny_workdir / "labels", LANGUAGES)
    expected = {
        task: sum(scores[registry.get(task).spec.metric] for scores in by_language.values()) / len(by_language)
        for task, by_language in found.items()
    }
    assert scores == pytest.approx(expected)
    assert all(0 < score < 100 for score in scores.values()), "each task has right and wrong answers"
    with pytest.raises(FileNotFoundError, match="xnli ar"):
        xtreme.evaluate(tiny_workdir / "out", tiny_workdir / "labels")
    again = export()
    assert isinstance(again.exception, UserError), "nothing is mixed with an older submission"
    assert "not an empty folder" in str(again.exception)


def test_what_cannot_be_exported_is_explained(tiny_workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_workdir)
    tiny = accept(tiny_workdir, {"tatoeba": ["de"], "xsid": ["de"]})
    assert "none of XTREME's targets is evaluated yet" in str(export().exception)
    assert "no such trial; it has baseline-s1" in str(export(trial="baseline-s2").exception)
    assert "labels of the target languages" in str(export("--protocol", "oracle").exception)
    evaluate(tiny, "tatoeba")
    assert not (tiny_workdir / "out").exists()
    assert export("--protocol", "last").exit_code == 0
    assert [path.name for path in (tiny_workdir / "out").iterdir()] == ["tatoeba"], "xsid is none of XTREME's"
