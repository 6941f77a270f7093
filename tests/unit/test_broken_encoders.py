"""Broken and foreign encoders are refused wherever a study's model is looked at, before the first stage starts."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from encoders import BROKEN, ENCODER, write
from xstilts import cli
from xstilts.acceptance import accept
from xstilts.api.load import load_study
from xstilts.controller.clerk import Clerk, Refusal
from xstilts.core.errors import UserError
from xstilts.core.keys import model_address
from xstilts.core.manifests import ArtifactManifest, DatasetManifest
from xstilts.store import artifacts
from xstilts.store.datasets import put_dataset
from xstilts.store.models import put_model, resolve_model
from xstilts.store.open import open_store
from xstilts.tasks.datasets import scan

DOORS: dict[str, Callable[[Path], object]] = {
    "validate": cli.study.validate,
    "plan": cli.study.plan,
    "run": lambda file: accept(load_study(file), open_store("store")),
}


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of the encoder in `xlmr`, in the folder where commands run."""
    monkeypatch.chdir(tmp_path)
    spec = {
        "model": {"uri": "xlmr"},
        "recipes": [],
        "sizes": ["0"],
        "seeds": [1],
        "budgets": [{"epochs": "1"}],
        "targets": [{"name": "tatoeba", "languages": ["de"]}],
        "store": {"uri": "store"},
        "tracking": {"uri": "sqlite:///mlflow.db"},
    }
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({"kind": "Study", "metadata": {"name": "s"}, "spec": spec}))
    return file


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("door", DOORS)
def test_an_encoder_that_no_stage_could_load_is_refused_at_every_door(study_file: Path, door: str, kind: str) -> None:
    files, complaint = BROKEN[kind]
    write(study_file.parent / "xlmr", files)
    with pytest.raises(UserError, match=rf"^model\.uri 'xlmr': .*{complaint}"):
        DOORS[door](study_file)
    assert not Path("store").exists()


def test_the_operator_refuses_it_in_the_same_words(study_file: Path) -> None:
    write(study_file.parent / "xlmr", BROKEN["another architecture"][0])
    answer = Clerk().accept(load_study(study_file))
    assert isinstance(answer, Refusal)
    assert answer.message.startswith("model.uri 'xlmr': config.json: model_type 'bert' is not supported")


def test_a_link_to_elsewhere_is_told_before_anything_is_stored(study_file: Path) -> None:
    folder = write(study_file.parent / "xlmr", ENCODER)
    (folder / "special_tokens_map.json").symlink_to(os.devnull)
    with pytest.raises(UserError, match=r"special_tokens_map\.json is a link to /dev/null, outside of the folder"):
        cli.study.validate(study_file)


@pytest.mark.parametrize("there", [True, False], ids=["whole", "not here yet"])
def test_a_study_of_an_encoder_that_is_whole_or_not_here_yet_is_valid(study_file: Path, there: bool) -> None:
    if there:
        write(study_file.parent / "xlmr", ENCODER)
    cli.study.validate(study_file)
    assert not Path("store").exists()


def test_a_study_of_an_encoder_that_was_pushed_into_its_store_is_valid(study_file: Path) -> None:
    store = open_store("store")
    model = put_model(store, write(study_file.parent / "xlmr", ENCODER))
    uri = f"{store.uri}/{model_address(model.key)}"
    study_file.write_text(study_file.read_text().replace("uri: xlmr", f"uri: {uri}"))
    cli.study.validate(study_file)
    assert resolve_model(store, uri=uri) == model


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"training": {"target": {"maxLength": 513}}}, "spec.training: maxLength 513 of evaluation; the encoder takes at most 512"),
        ({"targets": [{"name": "tatoeba", "retrieval": {"layer": 2}}]}, r"spec.targets\[0\].retrieval.layer: 2; the encoder has 1"),
    ],
    ids=["longer than its positions", "deeper than its layers"],
)  # fmt: skip
@pytest.mark.parametrize("door", [*DOORS, "pushed"])
def test_more_than_the_encoder_has_is_refused_at_every_door(
    study_file: Path, door: str, change: dict[str, object], complaint: str
) -> None:
    write(study_file.parent / "xlmr", ENCODER)
    document = yaml.safe_load(study_file.read_text())
    document["spec"] |= change
    if door == "pushed":
        store = open_store("store")
        document["spec"]["model"]["uri"] = f"{store.uri}/{model_address(put_model(store, Path('xlmr')).key)}"
    study_file.write_text(yaml.safe_dump(document))
    if door in ("run", "pushed"):
        put_dataset(open_store("store"), tatoeba(study_file.parent), study_file.parent)
    with pytest.raises(UserError, match=complaint):
        DOORS.get(door, DOORS["run"])(study_file)


def tatoeba(folder: Path) -> DatasetManifest:
    write(folder, {"tatoeba.deu-eng.deu": b"eins\n", "tatoeba.deu-eng.eng": b"one\n"})
    return scan("tatoeba", folder)


def test_a_model_that_an_earlier_version_let_in_is_refused_by_its_config(study_file: Path) -> None:
    store = open_store("store")
    folder = write(study_file.parent / "bert", {"config.json": BROKEN["another architecture"][0]["config.json"]})
    artifacts.publish(store, "models/old", folder, ArtifactManifest(kind="model", key="old"))
    study_file.write_text(study_file.read_text().replace("uri: xlmr", f"uri: {store.uri}/models/old"))
    with pytest.raises(
        UserError, match=r"model\.uri '.*/models/old': config\.json: model_type 'bert' is not supported"
    ):
        DOORS["run"](study_file)
