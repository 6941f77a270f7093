"""YAML without its traps: a document costs bounded time and memory, and nothing is read as what nobody meant.

YAML 1.1 reads 010000 as octal, 1:30 as base 60, and keeps the last of two equal keys; a kilobyte of aliases can stand
for more nodes than memory holds. All of it is refused by line and column, with what to write instead.
"""

import re
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

import yaml
from yaml.constructor import ConstructorError

LARGEST_BYTES = 1024 * 1024
"""Of a file. A cluster stores no larger object."""
DEEPEST = 64
MOST_NODES = 100_000
"""Of a document, with each alias counted as what it stands for."""

_LONGEST_NUMBER = 64
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class _Extent(NamedTuple):
    nodes: int
    height: int


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._extents: dict[int, _Extent] = {}
        self._nodes = self._depth = 0

    def compose_document(self) -> yaml.Node | None:
        self._extents.clear()
        self._nodes = self._depth = 0
        return super().compose_document()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._extents:
                raise ConstructorError(None, None, "an alias stands inside of what it stands for", mark)
            self._grow(self._extents[id(node)], mark)
            return node
        before = self._nodes
        self._grow(_Extent(1, 1), mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        height = 1 + max((self._extents[id(child)].height for child in _children(node)), default=0)
        self._extents[id(node)] = _Extent(self._nodes - before, height)
        return node

    def _grow(self, extent: _Extent, mark: yaml.Mark) -> None:
        self._nodes += extent.nodes
        if self._nodes > MOST_NODES:
            raise ConstructorError(None, None, f"more than {MOST_NODES:,} values, aliases written out", mark)
        if self._depth + extent.height > DEEPEST:
            raise ConstructorError(None, None, f"nested more than {DEEPEST} levels deep", mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
            # what PyYAML itself raises for a month of 13, or `!!int` before a word
            problem = f"{_written(node)} is not what its form or tag says ({error}); put text in quotes"
            raise ConstructorError(None, None, problem, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"a key is text: put {_written(key_node)} in quotes"
                raise ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                raise ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if found := _NO_TEXT.search(value):
            problem = f"the text holds {found[0]!r}, which no UTF-8 file or name can; remove it"
            raise ConstructorError(None, None, problem, node.start_mark)
        return value

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        if len(text) > _LONGEST_NUMBER:  # the conversion takes time that grows with the square
            message = f"a number of {len(text)} characters: write a shorter one, or the text in quotes"
            raise ConstructorError(None, None, message, node.start_mark)
        value = super().construct_yaml_int(node)
        if ":" in text:
            raise _misread(node, f"{text} is {value} in base 60", str(value))
        if _LEADING_ZERO.fullmatch(text):
            raise _misread(node, f"{text} is {value} in base 8", text.lstrip("-+0_") or "0")
        return value

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        text, value = self.construct_scalar(node), super().construct_yaml_float(node)
        if ":" in text:
            raise _misread(node, f"{text} is {value} in base 60", str(value))
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


def load_all(text: str) -> Iterator[Any]:
    """The documents of a text, one after the other. Raises `yaml.YAMLError`, which says where."""
    loader = _Loader(text)
    try:
        while loader.check_data():  # type: ignore[no-untyped-call]
            yield loader.get_data()
    finally:
        loader.dispose()


def _misread(node: yaml.Node, reading: str, number: str) -> ConstructorError:
    way_out = f"write {number}, or the text in quotes"
    return ConstructorError(None, None, f"in YAML 1.1 {reading}: {way_out}", node.start_mark)


def _children(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def _written(node: yaml.Node) -> str:
    return str(node.value)[:80] if isinstance(node, yaml.ScalarNode) else "what is a list or mapping"
