"""Amounts of resources as Kubernetes writes them: `500m`, `2`, `8Gi`, `1e3`. The same amount has several spellings."""

import re
from decimal import Decimal

from xstilts.core.errors import UserError

_FACTORS = {suffix: Decimal(1024) ** power for power, suffix in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_FACTORS |= {suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)}
_FACTORS |= {suffix: Decimal(1000) ** -power for power, suffix in enumerate("mun", start=1)}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?", re.ASCII)


def quantity(text: str) -> Decimal:
    """The amount. Raises UserError for what is none."""
    found = _FORM.fullmatch(text)
    if not found:
        raise UserError(f"{text!r} is no amount of a resource, such as 500m, 2 or 8Gi")
    number, suffix = found.groups("")
    return Decimal(number) * _FACTORS[suffix]
