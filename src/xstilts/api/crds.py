"""The CustomResourceDefinitions, written from the models.

python -m xstilts.api.crds k8s/crds            writes a file a resource
python -m xstilts.api.crds k8s/crds --check    fails with a diff where a file is not what would be written
"""

import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from xstilts.api.base import Model
from xstilts.api.names import GROUP, VERSION
from xstilts.api.rules import OF_RESOURCES
from xstilts.api.schedule import StudySchedule, StudyScheduleStatus
from xstilts.api.status import StudyStatus
from xstilts.api.structural import Schema, structural
from xstilts.api.study import Study
from xstilts.api.trial import Trial, TrialStatus

HEADER = "# Written by `make crds` from src/xstilts/api.\n"


@dataclass(frozen=True, slots=True)
class Column:
    """What `kubectl get` prints: a JSON path, or a condition's field as `Succeeded.reason`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def document(self) -> Mapping[str, Any]:
        path = self.path
        if not path.startswith("."):
            condition, field = path.split(".")
            path = f'.status.conditions[?(@.type=="{condition}")].{field}'
        column = {"name": self.name, "type": self.type, "jsonPath": path, "description": self.description}
        return column | ({"priority": 1} if self.wide else {})


AGE = Column("Age", ".metadata.creationTimestamp", "Since it was made.", "date")


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of the API."""

    model: type[Model]
    status: type[Model]
    plural: str
    short: str
    columns: tuple[Column, ...]

    @property
    def kind(self) -> str:
        return self.model.__name__


RESOURCES = (
    Resource(
        model=Study,
        status=StudyStatus,
        plural="studies",
        short="xst",
        columns=(
            Column("Status", "Succeeded.reason", "Where the study stands."),
            Column("Problem", ".status.problem", "What is in the way, if anything."),
            Column("Trials", ".status.progress", "Trials that ended, of all."),
            Column(
                "Best",
                ".status.best[0].score",
                "Percent, mean over other languages: first target of the point chosen on English dev.",
            ),
            Column("Stages", ".status.plan.stages", "Stages of the plan.", "integer", wide=True),
            Column("GPU hours", ".status.gpuHours", "Used so far.", wide=True),
            Column("Message", "Succeeded.message", "Why, and what to do.", wide=True),
            AGE,
        ),
    ),
    Resource(
        model=Trial,
        status=TrialStatus,
        plural="trials",
        short="xtr",
        columns=(
            Column("Status", "Succeeded.reason", "Where the trial stands."),
            Column("Progress", ".status.progress", "Stages that are done, of all."),
            Column("Recipe", ".spec.point.recipe", "What the intermediate phase trains on."),
            Column("Size", ".spec.point.size", "Rows of intermediate data."),
            Column("Labels", ".status.labelledLanguages", "Languages but English with labels in training.", wide=True),
            Column("Study", ".spec.study", "The Study that it belongs to.", wide=True),
            Column("Message", "Succeeded.message", "Why, and what to do.", wide=True),
            AGE,
        ),
    ),
    Resource(
        model=StudySchedule,
        status=StudyScheduleStatus,
        plural="studyschedules",
        short="xsched",
        columns=(
            Column("Schedule", ".spec.schedule", "Minute, hour, day of month, month, day of week."),
            Column("Suspend", ".spec.suspend", "No Study is made while it is true.", "boolean"),
            Column("Active", ".status.active[*]", "Studies that have not ended."),
            Column("Last", ".status.lastScheduleTime", "Since the latest time that was dealt with.", "date"),
            # kubectl shows dates of the future as <invalid>
            Column("Next", ".status.nextScheduleTime", "The next time."),
            Column("Time zone", ".spec.timeZone", "Of the schedule.", wide=True),
            Column("Message", "Ready.message", "Whether the schedule is understood and goes on.", wide=True),
            AGE,
        ),
    ),
)


def definition(resource: Resource) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    names = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "shortNames": [resource.short],
        "categories": ["xstilts", "kubeflow"],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.document() for column in resource.columns],
        "schema": {"openAPIV3Schema": _schema(resource)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _schema(resource: Resource) -> Schema:
    """Of the whole object; the API server knows apiVersion, kind and metadata by itself."""
    schema = structural(resource.model)
    return {
        "description": schema["description"],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this form."},
            "kind": {"type": "string", "description": "Name of this form."},
            "metadata": {"type": "object"},
            "spec": schema["properties"]["spec"],
            "status": structural(resource.status, defaults=False),
        },
        "x-kubernetes-validations": [rule.document() for rule in OF_RESOURCES[resource.model]],
    }


def files() -> dict[str, str]:
    """The text of each file by its name."""
    return {f"{resource.kind.lower()}.yaml": HEADER + _yaml(definition(resource)) for resource in RESOURCES}


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: kubectl reads no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Go reads a bare y and n as booleans."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="'" if data in {"y", "n"} else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def _differences(folder: Path) -> Iterator[str]:
    for name, text in files().items():
        path = folder / name
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        yield from difflib.unified_diff(there.splitlines(True), text.splitlines(True), str(path), f"{path} (models)")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m xstilts.api.crds", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the files")
    parser.add_argument("--check", action="store_true", help="compare only")
    options = parser.parse_args(arguments)
    if options.check:
        diff = "".join(_differences(options.folder))
        sys.stderr.write(f"{diff}Run: make crds\n" if diff else "")
        return 1 if diff else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (options.folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
