"""Writes all that is generated from components and pipelines: compiled YAML, and a page for each component.

python -m pipelines.compile            writes the files
python -m pipelines.compile --check    fails with a diff when a file is not what would be written
"""

import argparse
import difflib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kfp.compiler import Compiler
from kfp.dsl.base_component import BaseComponent

from components.data_scaling.component import data_scaling
from components.evaluation.component import evaluation
from components.intermediate_training.component import intermediate_training
from components.target_training.component import target_training
from pipelines.transfer import transfer

ROOT = Path(__file__).resolve().parent.parent
PIPELINES = (transfer,)
COMPONENTS = (data_scaling, intermediate_training, target_training, evaluation)


def generated() -> dict[Path, str]:
    """Path to text of each generated file."""
    files = {ROOT / "pipelines" / "compiled" / f"{pipeline.name}.yaml": compiled(pipeline) for pipeline in PIPELINES}
    pages = {ROOT / "components" / folder(component) / "README.md": page(component) for component in COMPONENTS}
    return files | pages


def compiled(pipeline: BaseComponent) -> str:
    """The two documents that Kubeflow Pipelines takes: PipelineSpec and PlatformSpec."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "pipeline.yaml"
        Compiler().compile(pipeline, str(path))
        return path.read_text()


def folder(component: BaseComponent) -> str:
    return component.name.replace("-", "_")


def page(component: BaseComponent) -> str:
    """The README of a component."""
    return "\n".join(_lines(component))


def _lines(component: BaseComponent) -> Iterator[str]:
    spec = component.component_spec
    yield f"# {component.name}\n"
    yield "<!-- Generated from component.py by `python -m pipelines.compile`. -->\n"
    yield f"{component.description}\n"
    yield f"Runs `{' '.join(spec.implementation.container.command)}` in the trainer image.\n"
    for title, fields in (("Input", spec.inputs), ("Output", spec.outputs)):
        yield f"| {title} | Type | Meaning |"
        yield "|---|---|---|"
        yield from (f"| `{name}` | {field.type} | {field.description} |" for name, field in fields.items())
        yield ""


def differences(files: dict[Path, str]) -> Iterator[str]:
    """Lines of a unified diff from the files as they are to what they should be."""
    for path, text in files.items():
        there = path.read_text() if path.exists() else ""
        name = str(path.relative_to(ROOT))
        yield from difflib.unified_diff(there.splitlines(True), text.splitlines(True), name, f"{name} (generated)")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    files = generated()
    if parser.parse_args(arguments).check:
        diff = "".join(differences(files))
        sys.stderr.write(diff + "Run: python -m pipelines.compile\n" if diff else "")
        return 1 if diff else 0
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
