"""What every document of xstilts shares: strict models with camelCase keys, exact decimals, kind errors.

Both the resources that people write (`Study`) and the documents that stages leave behind (manifests) build on
`Model`. It refuses unknown keys, so a misspelt setting is an error and never a silent default.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A frozen document: camelCase outside, snake_case inside, unknown keys refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )

    def document(self) -> dict[str, Any]:
        """The JSON form with every field written out: what is stored and hashed."""
        return self.model_dump(mode="json")

    def overlaid(self, *overrides: Self) -> Self:
        """This document with the fields that each override sets explicitly; the last one wins."""
        fields: Mapping[str, Any] = {
            name: getattr(override, name) for override in overrides for name in sorted(override.model_fields_set)
        }
        return self.model_copy(update=dict(fields))


def require_unique(field: str, values: Iterable[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{field}: {value!r} is listed twice; list each once")
        seen.add(value)


DECIMAL = r"^([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]{1,2})?$"
_LONGEST_DECIMAL = 64


def _canonical_decimal(value: object) -> str:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is a truth value; write a number")
    if not isinstance(value, str | int):
        raise ValueError(f'write the number in quotes, as "{value}": binary floats would not hash equally')
    if not re.fullmatch(DECIMAL, str(value)):
        raise ValueError(f'{value!r} is not a decimal number of 0 or more, such as "0.1" or "1e-5"')
    number = Decimal(str(value))
    text = f"{number.normalize():f}" if number else "0"
    if len(text) > _LONGEST_DECIMAL:
        raise ValueError(f"{value!r} has more than {_LONGEST_DECIMAL} digits when it is written out")
    return text


DecimalString = Annotated[
    str,
    BeforeValidator(
        _canonical_decimal,
        json_schema_input_type=Annotated[str, StringConstraints(pattern=DECIMAL, max_length=_LONGEST_DECIMAL)]
        | Annotated[int, Field(ge=0)],
    ),
]
"""An exact decimal of 0 or more in one spelling ("1e-5" becomes "0.00001"), so that equal settings hash equally."""
