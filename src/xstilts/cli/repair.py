"""`xstilts repair`: what is cut off or damaged in a store."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from xstilts.api.access import StoreSpec
from xstilts.api.load import load_study
from xstilts.cli import terminal
from xstilts.cli.stores import CaFileOption, EndpointOption, PathStyleOption, RegionOption, opened_from_here
from xstilts.core.errors import IntegrityError
from xstilts.store.repair import Damage, Repair


def repair(
    store: Annotated[
        str, typer.Argument(help="s3://bucket/prefix, a directory, or the YAML file of a study whose store is meant.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Mend what is found; without it nothing changes.")] = False,
    sizes_only: Annotated[
        bool, typer.Option("--sizes-only", help="Compare sizes of files alone; by default every file is read.")
    ] = False,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    path_style: PathStyleOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Find documents that are cut off and files whose content is damaged, or mend them.

    Manifests, data sets, receipts and damaged files are removed, so that what they belong to is made, imported or
    published again; leases are freed; tombstones of evicted weights and plans are written again. What another version
    of xstilts wrote is listed and left alone. Studies may run meanwhile. The exit code is 3 as long as anything is
    damaged that can be mended.
    """
    console = terminal.console()
    is_study = Path(store).suffix in {".yaml", ".yml", ".json"}
    spec = load_study(Path(store)).spec.store if is_study else StoreSpec(uri=store)
    opened = opened_from_here(spec, endpoint=endpoint, region=region, path_style=path_style, ca_file=ca_file)
    work = Repair(opened, sizes_only=sizes_only)
    found = work.find()
    if not found:
        console.print(f"{opened.uri}: nothing is damaged")
        return
    console.print(_table(found))
    mended = list(work.mend(found)) if yes else []
    if yes:
        console.print(f"Mended: {len(mended)} of {len(found)}")
    left = [damage for damage in found if damage not in mended and damage.remedy]
    if left:
        advice = "run the command again" if yes else "--yes mends them"
        raise IntegrityError(f"{opened.uri}: {len(left)} objects are damaged; nothing else was changed; {advice}")


def _table(found: list[Damage]) -> Table:
    table = Table("what", "where", "found", "remedy")
    for damage in found:
        table.add_row(damage.part, damage.key, damage.found, damage.remedy)
    return table
