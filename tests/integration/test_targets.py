"""Targets of their own kinds in a whole study, verified: bitext mining, also on real pairs, and nested parsing."""

import os
import shutil
from pathlib import Path

import pytest
from test_stages import run_all

from studies import accept_in
from training_rows import settings
from xstilts import acceptance
from xstilts.api.training import RetrievalSettings
from xstilts.core.catalogue import TaskKind
from xstilts.metrics import score
from xstilts.report.verification import verify
from xstilts.store.datasets import put_dataset
from xstilts.store.open import open_store
from xstilts.tasks.datasets import read_split, scan
from xstilts.tasks.examples import BitextSentence, Retrieval
from xstilts.tracking import MemoryTracker
from xstilts.training import init_model
from xstilts.training.retrieval import mine

ROOT = Path(os.environ.get("XSTILTS_DATA", Path(__file__).parents[2] / "../shared/data"))


def test_a_study_mines_with_thresholds_tuned_on_dev(tiny_inputs: Path, tmp_path: Path) -> None:
    workdir = shutil.copytree(tiny_inputs, tmp_path / "work")
    store = open_store(str(workdir / "store"))
    put_dataset(store, scan("bucc2018", workdir / "data"), workdir / "data")
    tiny = accept_in(workdir, recipes=[], sizes=["0"], targets=[{"name": "bucc2018"}])
    (stage,) = tiny.plan.stages.values()
    assert [ref["language"] for ref in stage.config["dev"]] == [ref["language"] for ref in stage.config["data"]]  # type: ignore[attr-defined]
    assert {ref["split"] for ref in stage.config["dev"]} == {"dev"}  # type: ignore[attr-defined]
    run_all(tiny, MemoryTracker())
    manifests = acceptance.observe(tiny.plan, tiny.store, server="any").manifests
    facts = acceptance.evaluations(tiny.plan, manifests)[stage.address]
    assert facts.layer == 1
    (scores,) = facts.checkpoints
    for test, dev in zip(scores.languages, scores.dev, strict=True):
        assert test.threshold == dev.threshold is not None
        assert test.metrics.keys() == {"f1", "precision", "recall"}
    assert not verify(tiny.plan, manifests, tiny.store).problems


@pytest.mark.skipif(
    not ROOT.is_dir(), reason=f"no real data under {ROOT}: set XSTILTS_DATA to the folder with the samples"
)
def test_real_translations_hidden_in_two_corpora(tmp_path: Path) -> None:
    """Tatoeba's German pairs: a third of the sentences of either side have no partner on the other."""
    folder = ROOT / "tatoeba"
    split = scan("tatoeba", folder).find("test", "de")
    assert split
    pairs = [e for e in read_split(split, [folder / file.path for file in split.files]) if isinstance(e, Retrieval)]
    encoder = tmp_path / "encoder"
    init_model([side for pair in pairs for side in (pair.text, pair.english)], encoder, vocab_size=800, hidden_size=64)
    corpora = {"dev": bitext(pairs[:150]), "test": bitext(pairs[150:])}
    mined = mine(
        checkpoint=encoder,
        dev={"de": corpora["dev"]},
        test={"de": corpora["test"]},
        retrieval=RetrievalSettings(),
        settings=settings(),
    )["de"]
    for rows, corpus in ((mined.dev, corpora["dev"]), (mined.test, corpora["test"])):
        assert [row.id for row in rows] == [example.id for example in corpus]
        f1 = score(TaskKind.BITEXT_MINING, [row.gold for row in rows], [row.prediction for row in rows])["f1"]
        assert 0 < f1 <= 100, "names and numbers alone make a random encoder find some"
    assert all(row.prediction["score"] >= mined.threshold for row in mined.test if row.prediction)


def bitext(pairs: list[Retrieval]) -> list[BitextSentence]:
    third = len(pairs) // 3
    foreign = [
        BitextSentence(id=f"de-{n}", text=pair.text, english=False, translations=(f"en-{n}",) if n >= third else ())
        for n, pair in enumerate(pairs[: 2 * third])
    ]
    english = [
        BitextSentence(id=f"en-{n}", text=pair.english, english=True, translations=())
        for n, pair in enumerate(pairs)
        if n >= third
    ]
    return [*foreign, *sorted(english, key=lambda sentence: sentence.text)]
