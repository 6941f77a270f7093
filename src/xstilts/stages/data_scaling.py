"""`data-scaling`: draws nested, stratified subsets of English training data by example id.

The artifact holds, per task, which rows of the parent belong to the subset; the parent itself is never copied, so
seven sizes of a data set cost seven lists of ids. The parent is streamed twice, and memory is bounded by the subset.

Where a translation is to be trained on, the rows are drawn from the English parent all the same. Both are then streamed
side by side, and each row of the subset is shown to be the same example in both.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from xstilts.core import scaling
from xstilts.core.configs import ScalingConfig, SubsetRequest
from xstilts.core.errors import IntegrityError
from xstilts.core.manifests import SplitRef
from xstilts.core.results import ScalingFacts, SubsetFacts
from xstilts.core.scaling import Row, SubsetRow
from xstilts.stages.bench import Bench, Progress
from xstilts.tasks import registry
from xstilts.tasks.examples import Example
from xstilts.tasks.gold import gold_in_any_language

VERSION = 1


def run(config: ScalingConfig, inputs: Mapping[str, str], bench: Bench) -> ScalingFacts:
    """Writes `subsets/<n>-<task>.tsv`, one `row TAB id` a line, in subset order."""
    subsets = []
    for number, request in enumerate(config.subsets):
        subsets.append(_draw(request, number, config.seed or 0, bench))
        bench.report(Progress(number + 1, len(config.subsets), request.task))
    return ScalingFacts(subsets=tuple(subsets))


def read_subset(file: Path) -> Iterator[tuple[int, str]]:
    """Row of the split and id of each subset row, in subset order."""
    with file.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            row, id_ = line.rstrip("\n").split("\t", 1)
            yield int(row), id_


def _draw(request: SubsetRequest, number: int, seed: int, bench: Bench) -> SubsetFacts:
    strata = Counter(row.stratum for row in _rows(request, bench))
    if request.rows > strata.total():
        raise IntegrityError(f"{request.data} has {strata.total()} rows, {request.rows} were planned: plan again")
    subset = scaling.select(_rows(request, bench), strata=strata, rows=request.rows, seed=seed)
    path = f"subsets/{number}-{request.task}.tsv"
    there = _translated(subset, request.data, request.translation, bench) if request.translation else subset
    _write(bench.folder / path, there)
    return SubsetFacts(
        task=request.task,
        parent=request.data,
        translation=request.translation,
        rows=len(subset),
        parent_rows=strata.total(),
        ids_digest=scaling.ids_digest(subset),
        histogram=dict(sorted(Counter(row.stratum for row in subset).items())),
        path=path,
    )


def _rows(request: SubsetRequest, bench: Bench) -> Iterator[Row]:
    task = registry.get(request.task)
    for number, example in enumerate(bench.english(request.data)):
        yield Row(number, example.identity, task.stratum(example))


def _translated(subset: Sequence[SubsetRow], parent: SplitRef, translation: SplitRef, bench: Bench) -> list[SubsetRow]:
    """The subset with the ids that its rows have in the translation.

    Raises IntegrityError if the splits are not of one length, or if a row of the subset has another upstream id there
    (where both have one) or another label, or if nothing can be compared.
    """
    places = {row.number: place for place, row in enumerate(subset)}
    found = list(subset)
    sides = zip_longest(bench.english(parent), bench.translated(translation, english=parent))
    for number, (original, translated) in enumerate(sides):
        if original is None or translated is None:
            raise IntegrityError(
                f"row {number} is in only one of {parent} and {translation}: a translation has the same rows"
            )
        if number in places:
            if difference := _difference(original, translated):
                raise IntegrityError(
                    f"row {number} of {translation}, {translated.identity!r}, is no translation of that row of "
                    f"{parent}, {original.identity!r}: {difference}"
                )
            place = places[number]
            found[place] = found[place]._replace(id=translated.identity)
    return found


def _difference(original: Example, translated: Example) -> str | None:
    """Why two rows are not shown to be the same example, if so."""
    identified = original.id and translated.id
    wanted, found = gold_in_any_language(original), gold_in_any_language(translated)
    if identified and original.id != translated.id:
        return "their ids differ"
    if wanted != found:
        return f"it is {found!r}, and {wanted!r} in English"
    return None if identified or wanted is not None else "without ids nothing shows that they are the same example"


def _write(file: Path, subset: Sequence[SubsetRow]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(f"{row.number}\t{row.id}\n" for row in subset)
