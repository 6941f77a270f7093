"""`xstilts data`: upstream files into the store, synthetic corpora, and what the store has."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from xstilts.core.errors import UserError

app = typer.Typer(help="Data sets: synthesize, import, list.", no_args_is_help=True)

StoreOption = Annotated[str, typer.Option(help="s3://bucket/prefix or a directory.")]


@app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    seed: int = 0,
    scale: Annotated[float, typer.Option(help="Multiplies the number of rows.")] = 1.0,
    related: Annotated[bool, typer.Option(help="Whether intermediate tasks teach what the targets need.")] = True,
) -> None:
    """Write small multilingual corpora in the formats of the real ones."""
    from xstilts.tasks.synthetic import synthesize as write

    write(folder, seed=seed, scale=scale, related=related)


@app.command("import")
def import_(
    datasets: Annotated[list[str], typer.Argument(help="Names of data sets, such as mnli and xquad.")],
    folder: Annotated[Path, typer.Option("--from", help="Folder with the files as upstream publishes them.")],
    store: StoreOption,
    file: Annotated[
        list[str] | None,
        typer.Option(help="split:language=path, for a file whose name upstream would not have; may be repeated."),
    ] = None,
) -> None:
    """Bring data sets into the store: every row is read, every file is hashed."""
    from xstilts.store.datasets import put_dataset
    from xstilts.store.open import open_store
    from xstilts.tasks.datasets import scan

    if file and len(datasets) > 1:
        raise UserError(f"--file names files of one data set; import {', '.join(datasets)} one by one")
    opened, console = open_store(store), Console(soft_wrap=True, highlight=False)
    for name in datasets:
        manifest = scan(name, folder, _named_files(file or []))
        put_dataset(opened, manifest, folder)
        splits = ", ".join(f"{split.split}.{split.language} {split.rows}" for split in manifest.splits)
        console.print(f"{name} {manifest.digest[:12]}: {splits}")


def _named_files(options: list[str]) -> dict[str, str]:
    files = {}
    for option in options:
        key, equals, path = option.partition("=")
        if not equals or ":" not in key:
            raise UserError(f"--file {option!r}: write split:language=path, such as train:en=my-train.tsv")
        files[key] = path
    return files


@app.command("list")
def list_(store: StoreOption) -> None:
    """Data sets in the store, with rows by split and language."""
    from xstilts.store.datasets import load_dataset
    from xstilts.store.open import open_store

    opened = open_store(store)
    names = {entry.key.split("/")[1] for entry in opened.list("datasets/") if entry.key.endswith("/latest.json")}
    table = Table("data set", "digest", "split", "language", "rows")
    for name in sorted(names):
        manifest = load_dataset(opened, name)
        for split in manifest.splits if manifest else ():
            table.add_row(name, split.digest[:12], split.split, split.language, str(split.rows))
    Console().print(table)
