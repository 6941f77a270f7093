"""The Dockerfiles, read: what runs is pinned, small, non-root and fit for a read-only file system."""

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ("operator", "trainer")

SCRIPT = importlib.util.spec_from_file_location("licences", ROOT / "docker" / "licences.py")
assert SCRIPT
assert SCRIPT.loader
licences = importlib.util.module_from_spec(SCRIPT)
SCRIPT.loader.exec_module(licences)

images = pytest.mark.parametrize("image", IMAGES)


class Instruction(NamedTuple):
    name: str
    text: str


def instructions(image: str) -> Iterator[Instruction]:
    text = re.sub(r"^#.*\n", "", (ROOT / "docker" / f"{image}.Dockerfile").read_text(), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield Instruction(name, " ".join(rest.split()))


def stages(image: str) -> tuple[list[Instruction], list[Instruction]]:
    """Instructions of the builder and of what it leaves."""
    found = list(instructions(image))
    assert found[0].name == "ARG"
    assert re.fullmatch(r"BASE_IMAGE=python:3\.11\.\d+-slim@sha256:[0-9a-f]{64}", found[0].text), "pinned by digest"
    first, second = (i for i, instruction in enumerate(found) if instruction.name == "FROM")
    return found[first:second], found[second:]


def only(found: list[Instruction], name: str) -> str:
    (instruction,) = [each for each in found if each.name == name]
    return instruction.text


@images
def test_both_stages_start_from_the_base_image_that_is_an_argument(image):
    builder, final = stages(image)
    assert builder[0].text == "${BASE_IMAGE} AS builder"
    assert final[0].text == "${BASE_IMAGE}"


@images
def test_requirements_are_hashed_and_in_a_layer_below_the_package(image):
    builder, _ = stages(image)
    steps = [each.text for each in builder if each.name in {"COPY", "RUN"}]
    places = [
        next(i for i, step in enumerate(steps) if part in step) for part in ("--require-hashes", "src ", "--no-deps")
    ]
    assert places == sorted(places)
    assert f"requirements/{image}.txt" in steps[places[0]]


@images
def test_the_final_stage_takes_the_environment_alone_and_installs_nothing(image):
    _, final = stages(image)
    assert only(final, "COPY") == "--from=builder /opt/xstilts /opt/xstilts"
    assert not any(each.name in {"RUN", "ADD", "ENTRYPOINT"} for each in final)


@images
def test_it_runs_as_a_numeric_user_and_ends_on_sigterm(image):
    _, final = stages(image)
    assert only(final, "USER") == "10001:10001"
    assert only(final, "STOPSIGNAL") == "SIGTERM"
    assert isinstance(json.loads(only(final, "CMD")), list), "a shell would not pass the signal on"
    assert "org.opencontainers.image.title" in only(final, "LABEL")


@images
def test_everything_that_is_written_goes_to_tmp(image):
    _, final = stages(image)
    environment = dict(pair.split("=", 1) for pair in shlex.split(only(final, "ENV")))
    assert environment["PATH"].startswith("/opt/xstilts/bin:")
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    folders = [value for name, value in environment.items() if name == "HOME" or name.endswith(("_HOME", "DIR"))]
    assert all(folder == "/tmp" or folder.startswith("/tmp/") for folder in folders)
    assert only(final, "WORKDIR") == "/tmp"


@images
def test_the_build_context_holds_what_is_copied_and_no_more(image):
    builder, _ = stages(image)
    sources = {source.split("/")[0] for each in builder if each.name == "COPY" for source in each.text.split()[:-1]}
    ignored = (ROOT / "docker" / f"{image}.Dockerfile.dockerignore").read_text().splitlines()
    assert sources == {line.removeprefix("!") for line in ignored if line.startswith("!")}


@images
def test_no_registry_is_named(image):
    text = (ROOT / "docker" / f"{image}.Dockerfile").read_text()
    assert not re.search(r"https?://|index-url|\w+\.(io|com|dev)/", text)


def test_the_operator_carries_no_torch():
    requirements = (ROOT / "requirements" / "operator.txt").read_text()
    names = {line.split("==")[0] for line in requirements.splitlines() if "==" in line}
    assert names
    assert not names & {"torch", "transformers", "datasets", "triton"}


def test_both_images_start_from_the_same_base():
    operator, trainer = (next(instructions(image)) for image in IMAGES)
    assert operator == trainer


@images
def test_the_label_names_the_licences_of_all_that_is_installed(image):
    _, final = stages(image)
    labels = labels_of(final)
    requirements = ROOT / "requirements" / f"{image}.txt"
    assert labels["org.opencontainers.image.licenses"] == licences.summary(requirements)
    assert "unknown" not in labels["org.opencontainers.image.licenses"]


@images
def test_texts_of_third_party_licences_are_collected_after_everything_is_installed(image):
    builder, final = stages(image)
    runs = [each.text for each in builder if each.name == "RUN"]
    listed = labels_of(final)["dev.xstilts.third-party-licences"]
    assert runs[-1].endswith(f"/opt/xstilts/bin/python /build/docker/licences.py > {listed}")
    assert "--no-deps" in runs[-2]


def labels_of(final: list[Instruction]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(only(final, "LABEL")))


def test_a_package_is_listed_with_its_licence_and_the_text_that_it_ships():
    text = "\n".join(licences.listing([distribution("click")]))
    assert re.match(r"click [\d.]+: BSD-3-Clause\n--- click-[\d.]+\.dist-info/licenses/LICENSE\.txt\n", text)
    assert "Redistribution and use in source and binary forms" in text
