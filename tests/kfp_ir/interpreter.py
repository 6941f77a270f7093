"""Executes compiled pipelines on this machine: kfp's own runner takes neither container components nor their images.

Follows the driver, launcher and compiler of Kubeflow Pipelines 2.17, one task at a time. Every key of the IR is either
understood or refused, so a pipeline that runs here uses nothing that was skipped.
"""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from cluster.forked import ForkedProcess
from kfp_ir.values import Parameters, PipelineError, UnknownConstruct, convert, fill, holds, parse, select

Document = Mapping[str, Any]
Launch = Callable[[Sequence[str], Mapping[str, str]], None]
"""Runs a container's command with more environment; raises when it fails."""


@dataclass(frozen=True)
class Execution:
    """A container that ran."""

    path: str
    """Names of the tasks from the root down, with the index in a loop: `loop[0]/train`."""
    image: str
    command: tuple[str, ...]
    limits: dict[str, str]
    environment: dict[str, str]
    outputs: dict[str, Any]


@dataclass
class Interpreter:
    """A compiled pipeline, its cluster (secrets: name to keys) and a way to run containers."""

    text: str
    launch: Launch
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)

    def __post_init__(self) -> None:
        spec, platform = _documents(self.text)
        _known(spec, "components deploymentSpec pipelineInfo root schemaVersion sdkVersion", "pipeline")
        self._spec, self._platform = spec, platform

    def run(self, parameters: Parameters) -> list[Execution]:
        """Executes the pipeline and returns its containers in the order in which they ran."""
        definitions = self._spec["root"]["inputDefinitions"]["parameters"]
        if unknown := parameters.keys() - definitions.keys():
            raise PipelineError(f"parameter(s) provided are not required by pipeline: {', '.join(sorted(unknown))}")
        self._dag("", self._spec["root"], _typed(parameters, definitions))
        return self.executions

    # ---- DAGs

    def _dag(self, path: str, component: Document, inputs: Parameters) -> None:
        """Runs the tasks of a DAG, each after those that it names as dependencies."""
        _known(component, "dag inputDefinitions", path)
        _known(component["dag"], "tasks", path)
        tasks = component["dag"]["tasks"]
        graph = {name: task.get("dependentTasks", ()) for name, task in tasks.items()}
        outputs: dict[str, Parameters] = {}
        for name in TopologicalSorter(graph).static_order():
            if skipped := [other for other in graph[name] if other not in outputs]:
                raise UnknownConstruct(f"{path}{name} depends on {skipped}, which a condition skipped")
            upstream = {other: outputs[other] for other in graph[name]}
            finished = self._task(f"{path}{name}", tasks[name], inputs, upstream)
            if finished is not None:
                outputs[name] = finished

    def _task(
        self, path: str, task: Document, scope: Parameters, upstream: Mapping[str, Parameters]
    ) -> Parameters | None:
        """Runs a task; None when its condition is false."""
        _known(
            task,
            "cachingOptions componentRef dependentTasks inputs parameterIterator taskInfo triggerPolicy",
            path,
        )
        component = self._spec["components"][task["componentRef"]["name"]]
        sources = task.get("inputs", {})
        _known(sources, "parameters", path)
        given = {name: _resolve(source, scope, upstream) for name, source in sources.get("parameters", {}).items()}
        definitions = component.get("inputDefinitions", {}).get("parameters", {})
        if "parameterIterator" in task:
            self._loop(path, task, component, given)
            return {}
        inputs = given | _typed(given, definitions)
        policy = task.get("triggerPolicy", {})
        _known(policy, "condition", path)
        if policy and not holds(policy["condition"], inputs):
            return None
        if "executorLabel" in component:
            return self._container(path, component, inputs, scope)
        self._dag(f"{path}/", component, inputs)
        return {}

    def _loop(self, path: str, task: Document, component: Document, given: dict[str, Any]) -> None:
        iterator = task["parameterIterator"]
        _known(iterator, "itemInput items", path)
        _known(iterator["items"], "inputParameter", path)
        if "triggerPolicy" in task:
            raise UnknownConstruct(f"{path}: a loop with a condition of its own")
        items = convert(given.pop(iterator["items"]["inputParameter"]), "LIST", name=path)
        definitions = dict(component["inputDefinitions"]["parameters"])
        del definitions[iterator["items"]["inputParameter"]]
        for index, item in enumerate(items):
            inputs = _typed(given | {iterator["itemInput"]: item}, definitions)
            self._dag(f"{path}[{index}]/", component, inputs)

    # ---- containers

    def _container(self, path: str, component: Document, inputs: Parameters, scope: Parameters) -> Parameters:
        _known(component, "executorLabel inputDefinitions outputDefinitions", path)
        label = component["executorLabel"]
        executor = self._spec["deploymentSpec"]["executors"][label]
        _known(executor, "container", label)
        container = executor["container"]
        _known(container, "args command image resources", label)
        definitions = component.get("outputDefinitions", {}).get("parameters", {})
        environment = self._environment(label, scope)
        with tempfile.TemporaryDirectory() as folder:
            files = {name: str(Path(folder) / "outputs" / name) for name in definitions}
            (Path(folder) / "outputs").mkdir()
            command = tuple(fill(part, inputs, files) for part in (*container["command"], *container.get("args", ())))
            self.launch(command, environment)
            outputs = {name: _read(files[name], definition, path) for name, definition in definitions.items()}
        image, limits = fill(container["image"], inputs), _limits(container.get("resources", {}), inputs)
        self.executions.append(Execution(path, image, command, limits, environment, outputs))
        return outputs

    def _environment(self, label: str, scope: Parameters) -> dict[str, str]:
        """Variables from secrets; an optional secret or key that is missing gives none."""
        config = self._platform.get(label, {})
        _known(config, "secretAsEnv", label)
        environment = {}
        for entry in config.get("secretAsEnv", ()):
            _known(entry, "keyToEnv optional secretNameParameter", label)
            name = _resolve(entry["secretNameParameter"], scope, {})
            if not isinstance(name, str) or not name:
                raise PipelineError(f"{label}: expected a non-empty string as a secret's name, got {name!r}")
            keys = self.secrets.get(name, {})
            for pair in entry["keyToEnv"]:
                if pair["secretKey"] in keys:
                    environment[pair["envVar"]] = keys[pair["secretKey"]]
                elif not entry.get("optional"):
                    raise PipelineError(f"{label}: secret {name!r} has no key {pair['secretKey']!r}")
        return environment


def run_forked(folder: Path) -> Launch:
    """Runs `python -m MODULE …` in a folder of this machine, each in a fork of a server that has torch loaded."""

    def launch(command: Sequence[str], environment: Mapping[str, str]) -> None:
        if tuple(command[:2]) != ("python", "-m"):
            raise UnknownConstruct(f"command {command[:2]}")
        with tempfile.NamedTemporaryFile("r") as log:
            child = ForkedProcess(command, env=os.environ | environment, cwd=folder, output=Path(log.name))
            if code := child.wait():
                raise PipelineError(f"{' '.join(command)} ended with {code}:\n{log.read()}")

    return launch


def _documents(text: str) -> tuple[Document, Document]:
    """The PipelineSpec, and the PlatformSpec's Kubernetes settings by executor."""
    spec, *rest = yaml.safe_load_all(text)
    if not rest:
        return spec, {}
    (platform,) = rest
    _known(platform, "platforms", "platform")
    _known(platform["platforms"], "kubernetes", "platform")
    _known(platform["platforms"]["kubernetes"], "deploymentSpec", "platform")
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def _known(document: Document, keys: str, where: str) -> None:
    if unknown := document.keys() - set(keys.split()):
        raise UnknownConstruct(f"{where or 'root'}: {', '.join(sorted(unknown))}")


def _resolve(source: Document, scope: Parameters, upstream: Mapping[str, Parameters]) -> Any:
    """The value of a task's input, from the DAG's inputs, another task of the DAG, or the IR itself."""
    _known(
        source,
        "componentInputParameter taskOutputParameter runtimeValue parameterExpressionSelector",
        "input",
    )
    if name := source.get("componentInputParameter"):
        if name not in scope:
            raise PipelineError(f"parent DAG does not have input parameter {name}")
        value = scope[name]
    elif output := source.get("taskOutputParameter"):
        producer, key = output["producerTask"], output["outputParameterKey"]
        if producer not in upstream:
            raise PipelineError(f"{producer} is no dependency, so it may not have run yet")
        value = upstream[producer][key]
    else:
        _known(source["runtimeValue"], "constant", "input")
        value = source["runtimeValue"]["constant"]
    selector = source.get("parameterExpressionSelector")
    return select(value, selector) if selector else value


def _typed(given: Parameters, definitions: Document) -> dict[str, Any]:
    """The inputs that a component defines, with defaults, checked and converted."""
    inputs = {}
    for name, definition in definitions.items():
        _known(definition, "defaultValue description isOptional parameterType", name)
        if name not in given and "defaultValue" not in definition:
            if definition.get("isOptional"):
                raise UnknownConstruct(f"optional parameter {name!r} without value and default")
            raise PipelineError(f"neither value nor default value provided for parameter {name!r}")
        value = given[name] if name in given else definition["defaultValue"]
        inputs[name] = convert(value, definition["parameterType"], name=name)
    return inputs


def _read(file: str, definition: Document, path: str) -> Any:
    try:
        return parse(Path(file).read_text(encoding="utf-8"), definition["parameterType"])
    except FileNotFoundError:
        raise PipelineError(f"{path} failed to write its output parameter {Path(file).name!r}") from None


def _limits(resources: Document, inputs: Parameters) -> dict[str, str]:
    """Limits by resource name."""
    _known(resources, "accelerator resourceCpuLimit resourceMemoryLimit", "resources")
    names = {"resourceCpuLimit": "cpu", "resourceMemoryLimit": "memory"}
    limits = {names[key]: fill(value, inputs) for key, value in resources.items() if key in names}
    if accelerator := resources.get("accelerator"):
        _known(accelerator, "resourceCount resourceType", "accelerator")
        limits[fill(accelerator["resourceType"], inputs)] = fill(accelerator["resourceCount"], inputs)
    return limits
