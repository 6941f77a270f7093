"""Structural schemas, which the Kubernetes API server asks for, from the JSON schemas of our models.

They know no `$ref`, no unions with null and no `additionalProperties: false`: the API server prunes what a schema does
not name, and absent means none. A keyword that this module does not know is an error, never dropped in silence.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from xstilts.api.base import Model
from xstilts.api.rules import PATTERNS, Rule, rules_of
from xstilts.api.training import TrainingSettings

Form = Mapping[str, Any]
"""A part of a JSON schema."""
Schema = dict[str, Any]
"""A part of a structural schema."""

# Lists in which items are told apart, so that the API server refuses twins and merges them one by one.
_NAMED = {
    "conditions": "type",
    "env": "name",
    "imagePullSecrets": "name",
    "recipes": "name",
    "stages": "name",
    "targets": "name",
    "volumes": "name",
}
_SETS = {"active", "languages", "notApplicable", "protocols", "seeds", "subsetSeeds"}

_PLAIN = (
    *("description", "type", "format", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "maxProperties", "required"),
)
_HANDLED = {"$ref", "anyOf", "const", "items", "properties", "additionalProperties", "default"}
_HANDLED |= {"patternProperties", "propertyNames"}
_DROPPED = {"title", "$defs"}


def structural(model: type[Model], *, defaults: bool = True) -> Schema:
    """The schema of a model with everything that it refers to inlined.

    Settings of training have no defaults: those that are not set are as a task's published recipe has them, and a
    default would count as set.
    """
    form = model.model_json_schema(by_alias=True)
    return _Converter(form.get("$defs", {}), defaults=defaults).convert(form)


class _Converter:
    def __init__(self, definitions: Mapping[str, Form], *, defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults
        self._without = {model.__name__ for model in _family(TrainingSettings)}

    def convert(self, form: Form) -> Schema:
        if unknown := form.keys() - {*_PLAIN, *_HANDLED, *_DROPPED}:
            raise ValueError(f"a structural schema has no place for {sorted(unknown)} of {form}")
        schema = self._referred(form) | {key: form[key] for key in _PLAIN if key in form}
        if "const" in form:
            schema |= {"type": "string", "enum": [form["const"]]}
        if "items" in form:
            schema["items"] = self.convert(form["items"])
        if "properties" in form:
            schema |= self._object(form)
        if isinstance(form.get("additionalProperties"), Mapping):
            schema |= self._map(form["additionalProperties"], form.get("propertyNames", {}))
        if "patternProperties" in form:
            schema |= self._patterned_map(form["patternProperties"])
        return _ordered(_explained(schema))

    def _referred(self, form: Form) -> Schema:
        """What a form refers to, or the one thing beside null that it may be."""
        if "$ref" in form:
            return self.convert(self._definitions[form["$ref"].rsplit("/", 1)[-1]])
        options = [self.convert(option) for option in form.get("anyOf", ()) if option.get("type") != "null"]
        if len(options) < 2:
            return options[0] if options else {}
        if {option.get("type") for option in options} != {"string", "integer"}:
            raise ValueError(f"a structural schema has no unions: {form}")
        either = {key: value for option in options for key, value in option.items() if key != "type"}
        for rule in either.get("x-kubernetes-validations", ()):
            rule["rule"] = f"type(self) == int || {rule['rule']}"
        return either | {"x-kubernetes-int-or-string": True}

    def _object(self, form: Form) -> Schema:
        properties = {name: self._property(name, part, form["title"]) for name, part in form["properties"].items()}
        rules = [rule.document() for rule in rules_of(form["title"])]
        return {"properties": properties} | ({"x-kubernetes-validations": rules} if rules else {})

    def _property(self, name: str, form: Form, model: str) -> Schema:
        schema = self.convert(form)
        if schema.get("type") == "array":
            schema |= _list_type(name)
        default = form.get("default")
        if default is not None and self._defaults and model not in self._without:
            schema["default"] = _default_object(schema) if "properties" in schema else default
        return _ordered(schema)

    def _map(self, value: Form, names: Form) -> Schema:
        if names.keys() - {"enum"}:
            raise ValueError(f"a structural schema has no place for {names}")
        if names:
            return {"properties": {name: self.convert(value) for name in names["enum"]}}
        return {"additionalProperties": self.convert(value)}

    def _patterned_map(self, forms: Mapping[str, Form]) -> Schema:
        ((pattern, value),) = forms.items()
        rule = Rule(f"self.all(key, key.matches(r'{pattern}'))", PATTERNS[pattern])
        return {"additionalProperties": self.convert(value), "x-kubernetes-validations": [rule.document()]}


def _family(model: type[Model]) -> Iterable[type[Model]]:
    yield model
    for heir in model.__subclasses__():
        yield from _family(heir)


def _default_object(schema: Schema) -> Schema:
    """The fields that have a default: rules read a default before those below it are filled in."""
    return {name: part["default"] for name, part in schema["properties"].items() if "default" in part}


def _list_type(name: str) -> Schema:
    if name in _NAMED:
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [_NAMED[name]]}
    return {"x-kubernetes-list-type": "set" if name in _SETS else "atomic"}


def _explained(schema: Schema) -> Schema:
    """With a rule in place of a pattern that is better told in words, and without line breaks in descriptions."""
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if words := PATTERNS.get(schema.get("pattern", "")):
        rule = Rule(f"self.matches(r'{schema.pop('pattern')}')", words)
        schema["x-kubernetes-validations"] = [rule.document()]
    return schema


def _ordered(schema: Schema) -> Schema:
    """As people read it: what it means, what it is, its bounds, its parts, and what the API server makes of it."""
    order = ("description", "type", "x-kubernetes-int-or-string", "default", *_PLAIN[2:])
    return {key: schema[key] for key in (*order, *sorted(schema.keys() - set(order))) if key in schema}
