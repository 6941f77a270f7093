"""`data-scaling`: draws nested, stratified subsets of English training data by example id.

The artifact holds, per task, which rows of the parent belong to the subset; the parent itself is never copied, so
seven sizes of a data set cost seven lists of ids. The parent is streamed twice, and memory is bounded by the subset.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from xstilts.core import scaling
from xstilts.core.configs import ScalingConfig, SubsetRequest
from xstilts.core.errors import IntegrityError
from xstilts.core.results import ScalingFacts, SubsetFacts
from xstilts.core.scaling import Row, SubsetRow
from xstilts.stages.bench import Bench, Progress
from xstilts.tasks import registry

VERSION = 1


def run(config: ScalingConfig, inputs: Mapping[str, str], bench: Bench) -> ScalingFacts:
    """Writes `subsets/<n>-<task>.tsv`, one `row TAB id` a line, in subset order."""
    subsets = []
    for number, request in enumerate(config.subsets):
        subsets.append(_draw(request, number, config.seed or 0, bench))
        bench.report(Progress(number + 1, len(config.subsets), request.task))
    return ScalingFacts(subsets=tuple(subsets))


def read_subset(file: Path) -> Iterator[tuple[int, str]]:
    """Row of the parent and id of each subset row, in subset order."""
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
    _write(bench.folder / path, subset)
    return SubsetFacts(
        task=request.task,
        parent=request.data,
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


def _write(file: Path, subset: list[SubsetRow]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(f"{row.number}\t{row.id}\n" for row in subset)
