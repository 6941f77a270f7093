"""The CustomResourceDefinitions keep to what the API server and its conventions ask for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field, ValidationError

from resources import K8S, SAMPLES, Invalid, invalid_manifests
from xstilts.api import crds
from xstilts.api.base import Model
from xstilts.api.rules import RULES, rules_of
from xstilts.api.schedule import StudySchedule
from xstilts.api.structural import structural
from xstilts.api.study import Study
from xstilts.api.training import TrainingSettings
from xstilts.api.trial import Trial

MODELS = {model.__name__: model for model in (Study, Trial, StudySchedule)}
DEFINITIONS = {resource.kind: crds.definition(resource) for resource in crds.RESOURCES}
CLUSTER_ONLY = {
    "endpoint-with-jobs",
    "engine-local",
    "model-in-a-directory",
    "queue-with-kubeflow",
    "schedule-of-a-local-study",
    "store-in-a-directory",
    "tracking-in-a-file",
}
"""Refused by the API server alone: `xstilts run` takes them."""


def schema(kind: str) -> dict[str, Any]:
    return dict(DEFINITIONS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def parts(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a schema by its path, but for metadata, which is Kubernetes' own."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        if f"{path}.{name}" != ".metadata":
            yield from parts(part, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from parts(schema[name], f"{path}[{name}]")


def at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    return next(part for there, part in parts(schema) if there == path)


everywhere = pytest.mark.parametrize("kind", MODELS)


@everywhere
def test_there_are_no_floats(kind: str) -> None:
    assert [path for path, part in parts(schema(kind)) if part.get("type") == "number"] == []


@everywhere
def test_every_part_says_what_it_is(kind: str) -> None:
    untyped = [path for path, part in parts(schema(kind)) if "type" not in part and not is_int_or_string(part)]
    assert untyped == []


def is_int_or_string(part: dict[str, Any]) -> bool:
    return bool(part.get("x-kubernetes-int-or-string"))


@everywhere
def test_lists_and_maps_are_bounded_and_say_how_they_are_merged(kind: str) -> None:
    found = dict(parts(schema(kind)))
    assert [path for path, part in found.items() if part.get("type") == "array" and "maxItems" not in part] == []
    assert [
        path for path, part in found.items() if "additionalProperties" in part and "maxProperties" not in part
    ] == []
    lists = [path for path, part in found.items() if part.get("type") == "array"]
    assert [path for path in lists if "x-kubernetes-list-type" not in found[path]] == []


@everywhere
def test_strings_are_bounded(kind: str) -> None:
    bounds = {"maxLength", "enum", "format"}
    unbounded = [
        path
        for path, part in parts(schema(kind))
        if (part.get("type") == "string" or is_int_or_string(part)) and not bounds & part.keys()
    ]
    assert set(unbounded) == {".apiVersion", ".kind"}


@everywhere
def test_every_field_is_described(kind: str) -> None:
    fields = [(path, part) for path, part in parts(schema(kind)) if not path.endswith("]")]
    assert [path for path, part in fields if "description" not in part] == []


@everywhere
def test_only_what_structural_schemas_know_is_in_them(kind: str) -> None:
    text = yaml.safe_dump(schema(kind))
    assert [word for word in ("$ref", "anyOf", "nullable", "const:", "title:", "additionalProperties: false") if word in text] == []  # fmt: skip


@everywhere
def test_a_status_has_no_defaults_so_that_what_is_written_is_what_is_read(kind: str) -> None:
    assert [path for path, part in parts(schema(kind)["properties"]["status"]) if "default" in part] == []


def test_what_a_recipe_of_a_task_fills_in_has_no_default() -> None:
    phase = at(schema("Study"), ".spec.training.target")
    assert {*TrainingSettings.model_json_schema()["properties"]} < {*phase["properties"]}
    assert [name for name, part in phase["properties"].items() if "default" in part] == []
    assert phase["properties"]["parser"]["properties"]["beamSize"]["default"] == 5  # a parser is given as a whole


def test_a_schedule_makes_studies_of_the_same_form() -> None:
    template = at(schema("StudySchedule"), ".spec.studyTemplate.spec")
    study = at(schema("Study"), ".spec")
    assert template == study


def test_conditions_are_told_apart_by_type() -> None:
    for kind in MODELS:
        conditions = at(schema(kind), ".status.conditions")
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_each_rule_belongs_to_a_model_that_is_in_a_resource() -> None:
    text = "".join(crds.files().values())
    written = yaml.safe_load_all(text.replace(crds.HEADER, "---\n"))
    rules = {
        rule["rule"]
        for document in written
        for _, part in parts(document["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        for rule in part.get("x-kubernetes-validations", ())
    }
    assert {rule.rule for model in RULES for rule in rules_of(model.__name__)} <= rules


def test_the_files_are_those_of_the_models() -> None:
    assert crds.main([str(K8S / "crds"), "--check"]) == 0


def test_a_stale_file_is_shown_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.main([str(tmp_path)]) == 0
    first = {file.name: file.read_text() for file in tmp_path.iterdir()}
    stale = tmp_path / "trial.yaml"
    stale.write_text(stale.read_text().replace("xtr", "xt"))
    assert crds.main([str(tmp_path), "--check"]) == 1
    assert "-    - xt\n+    - xtr" in capsys.readouterr().err
    crds.main([str(tmp_path)])
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == first


def test_a_keyword_without_a_place_is_an_error() -> None:
    class Between(Model):
        """Not for the API server."""

        value: Annotated[int, Field(gt=0)]

    with pytest.raises(ValueError, match=r"no place for .*exclusiveMinimum"):
        structural(Between)


@pytest.mark.parametrize("invalid", invalid_manifests(), ids=lambda invalid: invalid.name)
def test_the_model_refuses_what_the_api_server_refuses(invalid: Invalid) -> None:
    model = MODELS[invalid.refused["kind"]]
    if invalid.is_change or invalid.name in CLUSTER_ONLY:
        for document in invalid.documents:
            model.model_validate(document)
    else:
        with pytest.raises(ValidationError):
            model.model_validate(invalid.refused)


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_a_sample_is_valid(file: Path) -> None:
    document = yaml.safe_load(file.read_text())
    MODELS[document["kind"]].model_validate(document)
