"""The Dockerfiles, read: what runs is pinned, small, non-root and fit for a read-only file system."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ("operator", "trainer")

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
    assert found[0] == Instruction("ARG", "BASE_IMAGE=python:3.11-slim")
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
