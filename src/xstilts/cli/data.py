"""`xstilts data`: upstream files and those of the hub into the store, synthetic corpora, and what the store has."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from xstilts.cli import stores
from xstilts.cli.stores import CaFileOption, EndpointOption, PathStyleOption, RegionOption, StoreOption
from xstilts.core.catalogue import ENGLISH, Source
from xstilts.core.errors import UserError
from xstilts.core.manifests import DatasetManifest

app = typer.Typer(help="Data sets: synthesize, import, list.", no_args_is_help=True)


@app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    seed: int = 0,
    scale: Annotated[float, typer.Option(help="Multiplies the number of rows.")] = 1.0,
    related: Annotated[bool, typer.Option(help="Whether intermediate tasks teach what the targets need.")] = True,
    language: Annotated[list[str] | None, typer.Option(help="May be repeated; all that there are by default.")] = None,
    rows: Annotated[
        list[str] | None, typer.Option(help="SPLIT=NUMBER, such as text=8000 for lines a language; may be repeated.")
    ] = None,
    code_switching: Annotated[float, typer.Option(help="Share of code-switched lines of text.")] = 0.5,
) -> None:
    """Write small multilingual corpora in the formats of the real ones."""
    from xstilts.tasks.synthetic import LANGUAGES
    from xstilts.tasks.synthetic import synthesize as write

    write(
        folder,
        seed=seed,
        rows=_rows(rows or []),
        scale=scale,
        languages=language or tuple(LANGUAGES),
        related=related,
        code_switching=code_switching,
    )


def _rows(options: list[str]) -> dict[str, int]:
    rows = {}
    for option in options:
        split, _, number = option.partition("=")
        if not number.isdecimal():
            raise UserError(f"--rows {option!r}: write SPLIT=NUMBER, such as text=8000")
        rows[split] = int(number)
    return rows


@app.command("import")
def import_(
    datasets: Annotated[list[str], typer.Argument(help="Names of data sets, such as mnli and xquad.")],
    store: StoreOption,
    folder: Annotated[
        Path | None, typer.Option("--from", help="Folder with the files as upstream publishes them.")
    ] = None,
    hub: Annotated[bool, typer.Option("--hub", help="Take the files from the Hugging Face hub instead.")] = False,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit on the hub.")] = "main",
    file: Annotated[
        list[str] | None,
        typer.Option(help="split:language=path, for a file whose name upstream would not have; may be repeated."),
    ] = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    path_style: PathStyleOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Bring data sets into the store: every row is read, every file is hashed."""
    from xstilts.store.datasets import put_dataset
    from xstilts.tasks.datasets import scan

    if (folder is None) != hub:
        raise UserError("import: give either --from FOLDER or --hub")
    if file and (hub or len(datasets) > 1):
        raise UserError(f"--file names files of one data set in a folder; import {', '.join(datasets)} one by one")
    console = Console(soft_wrap=True, highlight=False)
    opened = stores.opened(store, endpoint=endpoint, region=region, path_style=path_style, ca_file=ca_file)
    for name in datasets:
        with _files(name, folder, revision) as (root, source):
            manifest = scan(name, root, _named_files(file or [])).model_copy(update={"source": source})
            put_dataset(opened, manifest, root)
        splits = ", ".join(f"{split.split}.{split.language} {split.rows}" for split in manifest.splits)
        folders = {str(Path(file.path).parent) for split in manifest.splits for file in split.files}
        origin = source or ", ".join(sorted(folders - {"."}))
        console.print(f"{name} {manifest.digest[:12]}{f' from {origin}' if origin else ''}: {splits}")
        for warning in _unlike_published(manifest):
            console.print(f"warning: {warning}", style="yellow")


@contextmanager
def _files(name: str, folder: Path | None, revision: str) -> Iterator[tuple[Path, str]]:
    """A folder with the files of a data set, and where they came from: the user's, else one that the hub fills."""
    from xstilts.store.hub import MAIN, download_dataset
    from xstilts.tasks import registry

    if folder:
        yield folder, ""
        return
    dataset = registry.dataset(name)
    if not dataset.hub:
        raise UserError(
            f"no repository of the hub is known for {name} ({dataset.licence}): give its files with --from FOLDER"
        )
    if revision != MAIN and len(dataset.hub) > 1:
        raise UserError(f"--revision {revision}: {name} is made of {', '.join(dataset.hub)}, which share no revision")
    with TemporaryDirectory(prefix="xstilts-hub-") as temporary:
        sources = [
            download_dataset(repository, Path(temporary), wanted=dataset.reads, revision=revision)
            for repository in dataset.hub
        ]
        yield Path(temporary), ", ".join(sources)


def _unlike_published(manifest: DatasetManifest) -> Iterator[str]:
    """English splits with other numbers of rows than the tasks that are made of them cite."""
    from xstilts.tasks import registry

    for split in manifest.splits:
        published = registry.published_rows(Source(manifest.name, split.split)) if split.language == ENGLISH else None
        if published and split.rows != published:
            yield f"{manifest.name} {split.split}.{ENGLISH} has {split.rows:,} rows; {published:,} were published"


def _named_files(options: list[str]) -> dict[str, str]:
    files = {}
    for option in options:
        key, equals, path = option.partition("=")
        if not equals or ":" not in key:
            raise UserError(f"--file {option!r}: write split:language=path, such as train:en=my-train.tsv")
        files[key] = path
    return files


@app.command("list")
def list_(
    store: StoreOption,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    path_style: PathStyleOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Data sets in the store, with rows by split and language."""
    from xstilts.store.datasets import load_dataset

    opened = stores.opened(store, endpoint=endpoint, region=region, path_style=path_style, ca_file=ca_file)
    names = {entry.key.split("/")[1] for entry in opened.list("datasets/") if entry.key.endswith("/latest.json")}
    table = Table("data set", "digest", "split", "language", "rows")
    for name in sorted(names):
        manifest = load_dataset(opened, name)
        for split in manifest.splits if manifest else ():
            table.add_row(name, split.digest[:12], split.split, split.language, str(split.rows))
    Console().print(table)
