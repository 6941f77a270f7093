"""The Hugging Face hub: files of data sets by commit, and its errors as ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xstilts.core.errors import StorageError, StorageUnavailable, UserError

MAIN = "main"
CONVERTED = "refs/convert/parquet"
"""The revision to which the hub itself writes data sets as Parquet, also those that are published as a script."""

_ELSEWHERE = "name a folder with its files instead, with --from"


def download_dataset(repository: str, folder: Path, *, wanted: Callable[[str], bool], revision: str = MAIN) -> str:
    """Bring files of a data set to `folder/<repository>`; returns `<repository>@<commit>`.

    `wanted` is asked for each file, as `<repository>/<file>`.
    Where `main` holds none of them, those of the hub's own conversion are taken. The hub's client finds its token in
    the environment. Raises UserError for what is not there, StorageUnavailable where the hub does not answer.
    """
    for candidate in (MAIN, CONVERTED) if revision == MAIN else (revision,):
        with hub_errors("data set", repository, candidate, elsewhere=_ELSEWHERE):
            from huggingface_hub import HfApi, snapshot_download

            found = HfApi().dataset_info(repository, revision=candidate)
            names = [
                name for name in (file.rfilename for file in found.siblings or ()) if wanted(f"{repository}/{name}")
            ]
            if names:
                # by commit, so that a revision that moves meanwhile does not mix two data sets
                snapshot_download(
                    repository,
                    repo_type="dataset",
                    revision=found.sha,
                    allow_patterns=names,
                    local_dir=folder / repository,
                )
                return f"{repository}@{found.sha}"
    raise UserError(f"data set {repository!r} has no file at {revision!r} that this version can read: {_ELSEWHERE}")


@contextmanager
def hub_errors(kind: str, name: str, revision: str, *, elsewhere: str) -> Iterator[None]:
    """Raise our errors for the hub's, most telling first: some are kinds of others.

    `kind` is what `name` names, a model or a data set; `elsewhere` says how to do without the hub.
    """
    try:
        from huggingface_hub import errors as hub
    except ImportError as error:
        raise UserError(
            f"{kind}s by name need the hub's client: pip install 'xstilts[train]', or {elsewhere}"
        ) from error
    try:
        yield
    except hub.GatedRepoError as error:
        raise UserError(f"{kind} {name!r} is gated: accept its terms on the hub, and give a token") from error
    except hub.RevisionNotFoundError as error:
        raise UserError(f"{kind} {name!r} has no revision {revision!r}") from error
    except hub.RepositoryNotFoundError as error:
        raise UserError(f"the hub has no {kind} {name!r}, or it is private and needs a token") from error
    except hub.HFValidationError as error:
        raise UserError(f"{name!r} is no name of a {kind} on the hub: {error}") from error
    except hub.OfflineModeIsEnabled as error:
        raise UserError(f"{kind} {name!r} is not here, and the hub is switched off: {elsewhere}") from error
    except hub.HfHubHTTPError as error:
        status = error.response.status_code
        kind_of_error = StorageUnavailable if status >= 500 or status == 429 else StorageError
        raise kind_of_error(f"the hub refuses {kind} {name!r} with status {status}") from error
    except (hub.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # that of the hub's own HTTP client
        raise StorageUnavailable(f"the hub does not answer for {kind} {name!r}: {elsewhere} ({error})") from error
