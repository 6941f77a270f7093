"""Writes docs/reference from the code: `make docs`. With --check it only says what is stale: `make check`."""

import difflib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer

from xstilts.api.crds import RESOURCES, Resource
from xstilts.api.rules import OF_RESOURCES, rules_of
from xstilts.api.status import StudyStatus
from xstilts.api.study import Study
from xstilts.cli import app
from xstilts.tasks import registry

REFERENCE = Path(__file__).parent / "reference"


def study_schema() -> str:
    """JSON schema of the Study, for editors."""
    return json.dumps(Study.model_json_schema(by_alias=True), indent=2) + "\n"


def resource_page(resource: Resource) -> str:
    """Every field of a resource and of its status, a table a model; what Studies have as well is linked."""
    schema = resource.model.model_json_schema(by_alias=True)
    status = resource.status.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {}) | {resource.status.__name__: status} | status.get("$defs", {})
    there = set() if resource.model is Study else _study_definitions()
    lines = [f"# {resource.kind}", "", "Written by `make docs` from `src/xstilts/api`.", ""]
    for name, model in [(resource.kind, schema), *sorted(definitions.items())]:
        if name not in there:
            lines += _section(name, model, there)
    lines += ["## Names and changes", "", *(f"- {rule.message}" for rule in OF_RESOURCES[resource.model])]
    return "\n".join(lines).rstrip() + "\n"


def _study_definitions() -> set[str]:
    return {name for model in (Study, StudyStatus) for name in model.model_json_schema().get("$defs", {})}


def _section(name: str, model: Mapping[str, Any], there: set[str]) -> Iterator[str]:
    if "properties" in model:
        yield from (f"## {name}", "", *_text(model), "| field | form | default | meaning |", "|---|---|---|---|")
        yield from (_field_row(field, form, model, there) for field, form in model["properties"].items())
        yield ""
        if rules := rules_of(name):
            yield from ("The API server refuses what breaks these rules:", "", *(f"- {rule.message}" for rule in rules))
            yield ""
    elif "enum" in model:
        yield from (f"## {name}", "", *_text(model))
        yield from (f"One of {', '.join(f'`{value}`' for value in model['enum'])}.", "")


def _text(model: Mapping[str, Any]) -> Iterator[str]:
    if "description" in model:
        yield " ".join(model["description"].split())
        yield ""


def _field_row(name: str, form: Mapping[str, Any], model: Mapping[str, Any], there: set[str]) -> str:
    default = "required" if name in model.get("required", ()) else f"`{json.dumps(form.get('default'))}`"
    if len(default) > 40:
        default = "see there"
    meaning = " ".join(form.get("description", "").split())
    return f"| `{name}` | {_form(form, there)} | {default} | {meaning} |".replace("\n", " ")


def _form(form: Mapping[str, Any], there: set[str]) -> str:
    if "$ref" in form:
        name = form["$ref"].rsplit("/", 1)[-1]
        return f"[{name}]({'study.md' if name in there else ''}#{name.lower()})"
    if "anyOf" in form:
        return " or ".join(_form(part, there) for part in form["anyOf"] if part.get("type") != "null")
    if form.get("type") == "array":
        return f"list of {_form(form.get('items', {}), there)}"
    if "const" in form:
        return f"`{form['const']}`"
    return str(form.get("type", "any"))


def cli_page() -> str:
    """Help of every command."""
    command = typer.main.get_command(app)
    lines = ["# Command line", "", "Written by `make docs`.", ""]
    for path, help_text in _helps("xstilts", command):
        lines += [f"## {path}", "", "```", help_text.rstrip(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _helps(path: str, command: Any) -> Iterator[tuple[str, str]]:
    context = command.make_context(path, [], resilient_parsing=True, terminal_width=100, max_content_width=100)
    with context:
        yield path, command.get_help(context)
        for name in getattr(command, "commands", {}):
            yield from _helps(f"{path} {name}", command.commands[name])


def tasks_page() -> str:
    """Every task of the catalogue."""
    lines = [
        "# Tasks",
        "",
        "Written by `make docs` from `src/xstilts/tasks`. Rows are as published.",
        "",
        "| task | kind | trained on | evaluated on | languages | metric | rows | licence |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in registry.names():
        spec = registry.get(name).spec
        rows = spec.published_rows.get(spec.train) if spec.train else None
        cells = [
            f"`{name}`",
            spec.kind,
            str(spec.train or "not trained"),
            str(spec.test or "intermediate only"),
            str(len(spec.languages)) if spec.test else "",
            spec.metric,
            f"{rows:,}" if rows else "",
            spec.licence,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Data sets", "", *_datasets()]
    return "\n".join(lines) + "\n"


def _datasets() -> Iterator[str]:
    yield "Ends of the paths that `xstilts data import` looks for; files between + are read together."
    yield ""
    yield "| data set | files | on the hub |"
    yield "|---|---|---|"
    for name, dataset in sorted(registry.datasets().items()):
        files = dict.fromkeys(" + ".join(f"`{pattern}`" for pattern in layout.patterns) for layout in dataset.layouts)
        hub = ", ".join(f"`{repository}`" for repository in dataset.hub)
        yield f"| `{name}` | {'<br>'.join(files) or 'no reader'} | {hub} |"


PAGES: Mapping[str, Callable[[], str]] = {
    "study.schema.json": study_schema,
    **{f"{resource.kind.lower()}.md": partial(resource_page, resource) for resource in RESOURCES},
    "cli.md": cli_page,
    "tasks.md": tasks_page,
}


def main() -> int:
    stale = False
    for name, write in PAGES.items():
        file, content = REFERENCE / name, write()
        there = file.read_text(encoding="utf-8") if file.exists() else ""
        if there != content and "--check" in sys.argv:
            stale = True
            diff = difflib.unified_diff(
                there.splitlines(), content.splitlines(), f"{name} (committed)", "code", lineterm=""
            )
            sys.stdout.write("\n".join([*list(diff)[:40], f"docs/reference/{name} is stale: run make docs", ""]))
        elif there != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
