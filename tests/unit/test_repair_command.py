"""`xstilts repair` as a person runs it: a dry run first."""

from pathlib import Path

from typer.testing import CliRunner

from xstilts.cli import app
from xstilts.core.errors import IntegrityError
from xstilts.store import open_store

RECEIPT = "stages/evaluation/abc/receipts/0.json"


def test_a_dry_run_changes_nothing_and_yes_mends(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put(RECEIPT, b"")
    run = CliRunner()

    told = run.invoke(app, ["repair", str(tmp_path / "store")])
    assert isinstance(told.exception, IntegrityError)
    assert "--yes mends them" in str(told.exception)
    assert store.head(RECEIPT)

    done = run.invoke(app, ["repair", str(tmp_path / "store"), "--yes"])
    assert done.exit_code == 0
    assert "Mended: 1 of 1" in done.output
    assert not store.head(RECEIPT)
    assert "nothing is damaged" in run.invoke(app, ["repair", str(tmp_path / "store")]).output
