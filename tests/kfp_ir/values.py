"""Values and expressions of Kubeflow's IR, as the 2.17 driver treats them (backend/src/v2/driver, expression).

Whatever the driver knows and this module does not raises UnknownConstruct: a test must not pass by luck.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

Parameters = Mapping[str, Any]

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}
_INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}")
_OUTPUT_FILE = re.compile(r"\{\{\$\.outputs\.parameters\['(.+?)'\]\.output_file\}\}")
_SELECTOR = re.compile(r'parseJson\(string_value\)\["([^"\]]+)"\]')
_COMPARISON = re.compile(r"inputs\.parameter_values\['([^']+)'\] (==|!=) '([^']*)'")
_NEGATION = re.compile(r"!\((.+)\)")


class PipelineError(Exception):
    """The real driver would refuse this run, too."""


class UnknownConstruct(Exception):
    """The IR holds something that this interpreter was not written for."""


def as_text(value: Any) -> str:
    """What a STRING input or a placeholder receives: strings as they are, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def convert(value: Any, kind: str, *, name: str) -> Any:
    """Checks a value against an input's type; only STRING takes (the text of) any other type."""
    if kind not in _PYTHON_TYPES:
        raise UnknownConstruct(f"parameter type {kind}")
    if kind == "STRING":
        return as_text(value)
    if not isinstance(value, _PYTHON_TYPES[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
        raise PipelineError(f"input parameter {name!r} type mismatch: expect {kind}, got {value!r}")
    return value


def parse(text: str, kind: str) -> Any:
    """An output parameter from its file: a STRING is the file as it is, line ends included."""
    return text if kind == "STRING" else convert(json.loads(text), kind, name="output")


def select(value: Any, selector: str) -> Any:
    """A field of a struct."""
    match = _SELECTOR.fullmatch(selector)
    if not match:
        raise UnknownConstruct(f"parameterExpressionSelector {selector}")
    struct = json.loads(as_text(value))
    if not isinstance(struct, dict) or match[1] not in struct:
        raise PipelineError(f"evaluation of {selector} failed: {struct!r} has no {match[1]!r}")
    return struct[match[1]]


def holds(condition: str, parameters: Parameters) -> bool:
    """Comparisons of a parameter with a string, negated as for Else, joined as for Elif."""
    clauses = condition.split(" && ")
    if len(clauses) > 1:
        return all(holds(clause, parameters) for clause in clauses)
    if negation := _NEGATION.fullmatch(condition):
        return not holds(negation[1], parameters)
    comparison = _COMPARISON.fullmatch(condition)
    if not comparison:
        raise UnknownConstruct(f"condition {condition}")
    name, operator, literal = comparison.groups()
    if name not in parameters:
        raise PipelineError(f"condition {condition}: no such input")
    return (parameters[name] == literal) is (operator == "==")


def fill(template: str, parameters: Parameters, output_files: Mapping[str, str] | None = None) -> str:
    """A command-line element, image or limit with its placeholders replaced."""

    def parameter(match: re.Match[str]) -> str:
        if match[1] not in parameters:
            raise PipelineError(f"parameter {match[1]!r} not found in executor input")
        return as_text(parameters[match[1]])

    if template.lstrip().startswith(('{"IfPresent":', '{"Concat":')):
        raise UnknownConstruct(template)
    if "{{$" in _OUTPUT_FILE.sub("", _INPUT.sub("", template)):
        raise UnknownConstruct(f"placeholder in {template}")
    if output := _OUTPUT_FILE.fullmatch(template):
        return (output_files or {})[output[1]]
    return _INPUT.sub(parameter, template)
