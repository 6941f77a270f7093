"""The interpreter of compiled pipelines does what Kubeflow's driver does, and refuses what it does not know."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl
from kfp.compiler import Compiler

from kfp_ir.interpreter import Interpreter
from kfp_ir.values import PipelineError, UnknownConstruct, as_text, convert, fill, holds, parse, select

ECHO = "import pathlib, sys; path = pathlib.Path(sys.argv[2]); path.write_text(sys.argv[1])"


@dsl.container_component
def echo(text: str, said: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="python", command=["python", "-c", ECHO], args=[text, said])


@dsl.container_component
def forgetful(text: str, said: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="python", command=["python", "-c", ""], args=[text])


@dsl.pipeline
def branches(word: str, items: list[dict]):
    with dsl.If(word == "a"):
        echo(text="first")
    with dsl.Elif(word == "b"):
        echo(text="second")
    with dsl.Else(), dsl.ParallelFor(items) as item:
        inner = echo(text=item.x)
        echo(text=inner.output)


@dsl.pipeline
def chain(text: str = "default"):
    echo(text=echo(text=text).output).after(echo(text="before"))


@dsl.pipeline
def exit_handler(text: str):
    with dsl.ExitHandler(echo(text="bye")):
        echo(text=text)


@dsl.pipeline
def failing_output(text: str):
    forgetful(text=text)


def compiled(pipeline: Any, folder: Path) -> str:
    path = folder / "pipeline.yaml"
    Compiler().compile(pipeline, str(path))
    return path.read_text()


def echo_here(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """The echo container, without a process."""
    if command[2] == ECHO:
        Path(command[4]).write_text(command[3])


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[tuple[str, str]]]:
    """Executes a pipeline and returns (path, output) of each container."""

    def execute(pipeline: Any, **parameters: Any) -> list[tuple[str, str]]:
        executions = Interpreter(compiled(pipeline, tmp_path), echo_here).run(parameters)
        return [(execution.path, execution.outputs["said"]) for execution in executions]

    return execute


@pytest.mark.parametrize(("word", "said"), [("a", "first"), ("b", "second")])
def test_the_branch_whose_condition_holds_runs_alone(run, word, said):
    assert [output for _, output in run(branches, word=word, items=[{"x": "1"}])] == [said]


def test_a_loop_runs_its_tasks_for_each_item_with_the_item_of_its_own(run):
    ran = run(branches, word="c", items=[{"x": "p"}, {"x": "q"}])
    assert [output for _, output in ran] == ["p", "p", "q", "q"]
    assert [path.split("/")[-2].split("[")[1] for path, _ in ran] == ["0]", "0]", "1]", "1]"]


def test_a_loop_over_nothing_runs_nothing(run):
    assert run(branches, word="c", items=[]) == []


def test_a_number_or_struct_reaches_a_string_input_as_json(run):
    ran = run(branches, word="c", items=[{"x": 3}, {"x": {"y": [1, True]}}])
    assert [output for _, output in ran] == ["3", "3", '{"y":[1,true]}', '{"y":[1,true]}']


def test_defaults_fill_parameters_that_are_left_out(run):
    assert {output for _, output in run(chain)} == {"default", "before"}


@pytest.mark.parametrize(
    ("pipeline", "parameters", "message"),
    [
        pytest.param(chain, {"nope": 1}, "not required by pipeline: nope", id="unknown parameter"),
        pytest.param(branches, {"word": "a"}, "neither value nor default .*'items'", id="missing parameter"),
        pytest.param(branches, {"word": "a", "items": "x"}, "expect LIST", id="string for a list"),
        pytest.param(failing_output, {"text": "x"}, "failed to write its output parameter", id="missing output"),
    ],
)
def test_what_kubeflow_refuses_is_refused(run, pipeline, parameters, message):
    with pytest.raises(PipelineError, match=message):
        run(pipeline, **parameters)


def test_an_input_from_a_task_that_is_no_dependency_is_refused(tmp_path):
    document = yaml.safe_load(compiled(chain, tmp_path))
    for task in document["root"]["dag"]["tasks"].values():
        task.pop("dependentTasks", None)
    with pytest.raises(PipelineError, match="is no dependency"):
        Interpreter(yaml.safe_dump(document), echo_here).run({})


def test_constructs_that_are_not_known_are_named(run):
    with pytest.raises(UnknownConstruct, match="strategy"):
        run(exit_handler, text="x")


PARAMETERS = {"a": "x", "empty": "", "n": 1.0}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("inputs.parameter_values['a'] == 'x'", True),
        ("inputs.parameter_values['a'] != 'x'", False),
        ("inputs.parameter_values['empty'] == ''", True),
        ("!(inputs.parameter_values['a'] == 'x')", False),
        ("!(inputs.parameter_values['a'] == 'y') && inputs.parameter_values['empty'] == ''", True),
    ],
)
def test_conditions_hold(condition, expected):
    assert holds(condition, PARAMETERS) is expected


@pytest.mark.parametrize(
    "condition", ["int(inputs.parameter_values['n']) > 0", "inputs.parameter_values['a'] == 'x' || true", "true"]
)
def test_other_conditions_are_not_guessed(condition):
    with pytest.raises(UnknownConstruct, match="condition"):
        holds(condition, PARAMETERS)


def test_placeholders_are_filled_in_place():
    assert fill("n={{$.inputs.parameters['n']}}", PARAMETERS) == "n=1"
    assert fill("{{$.outputs.parameters['o'].output_file}}", {}, {"o": "/tmp/o"}) == "/tmp/o"
    with pytest.raises(PipelineError, match="'b' not found"):
        fill("{{$.inputs.parameters['b']}}", PARAMETERS)


@pytest.mark.parametrize("template", ["{{$.inputs.artifacts['x'].uri}}", '{"IfPresent": {}}', "{{$}}"])
def test_other_placeholders_are_not_guessed(template):
    with pytest.raises(UnknownConstruct):
        fill(template, PARAMETERS)


def test_values_keep_their_types_and_texts_their_bytes():
    assert parse("line\n", "STRING") == "line\n"
    assert parse("[1]", "LIST") == [1]
    assert as_text(2.5) == "2.5"
    assert select({"x": "{}"}, 'parseJson(string_value)["x"]') == "{}"
    with pytest.raises(PipelineError, match="has no 'y'"):
        select({"x": ""}, 'parseJson(string_value)["y"]')
    with pytest.raises(PipelineError, match="expect NUMBER_INTEGER"):
        convert(True, "NUMBER_INTEGER", name="n")
