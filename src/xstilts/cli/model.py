"""`xstilts model`: encoders that need no network, made here or brought into a store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from xstilts.cli import stores
from xstilts.cli.stores import CaFileOption, EndpointOption, PathStyleOption, RegionOption, StoreOption
from xstilts.core.errors import UserError

app = typer.Typer(help="Encoders.", no_args_is_help=True)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    text: Annotated[
        list[Path], typer.Option(help="File of plain text for the tokenizer, one sentence a line, or a folder of them.")
    ],
    vocab_size: int = 2000,
    hidden_size: int = 64,
    layers: int = 2,
    heads: int = 2,
    max_length: int = 256,
    seed: int = 0,
) -> None:
    """Make a tiny, random encoder of XLM-R's architecture with a tokenizer of its own. Does nothing if it is there."""
    console = Console(soft_wrap=True, highlight=False)
    if (folder / "config.json").exists():
        console.print(f"{folder} is there already")
        return
    from xstilts.training import init_model

    init_model(
        _lines(text),
        folder,
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        layers=layers,
        heads=heads,
        max_length=max_length,
        seed=seed,
    )
    console.print(f"{folder}: {layers} layers, hidden size {hidden_size}")


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Folder with an encoder in the hub's format.")],
    store: StoreOption,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    path_style: PathStyleOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Bring an encoder into the store of a study, and print what the study says to use it.

    It is named by its content: pushing it again uploads nothing. A study whose store is a directory needs no push: it
    names the folder.
    """
    from xstilts.core.keys import model_address
    from xstilts.store.models import put_model

    if not store.startswith("s3:"):
        raise UserError(
            f"--store {store}: a study with a store in a directory names the folder: model: {{uri: {folder}}}"
        )
    opened = stores.opened(store, endpoint=endpoint, region=region, path_style=path_style, ca_file=ca_file)
    manifest = put_model(opened, folder, compare=True)
    size = sum(file.size for file in manifest.files)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{folder}: {len(manifest.files)} files, {size / 1e6:,.1f} MB", markup=False)
    console.print(f"model: {{uri: {opened.uri}/{model_address(manifest.key)}}}", markup=False)


def _lines(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        if not files or not all(file.is_file() for file in files):
            raise UserError(f"--text {path}: no such file, and no folder with files")
        for file in files:
            with file.open(encoding="utf-8") as lines:
                yield from (line.rstrip("\n") for line in lines)
