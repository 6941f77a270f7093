"""How many trials each Study may run where the operator has a limit for all of them together. Pure."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def fair_shares(demand: Mapping[Name, int], limit: int) -> dict[Name, int]:
    """Max-min fair: nobody gets more than it asks for, what is left over goes to those that ask for more.

    Shares differ by at most one where demands allow; of the last, those that come first get one each.
    """
    if sum(demand.values()) <= limit:
        return dict(demand)
    shares = dict.fromkeys(demand, 0)
    left, hungry = limit, [name for name, wanted in demand.items() if wanted]
    while left and hungry:
        each = max(1, left // len(hungry))
        for name in hungry:
            given = min(each, demand[name] - shares[name], left)
            shares[name] += given
            left -= given
        hungry = [name for name in hungry if shares[name] < demand[name]]
    return shares
