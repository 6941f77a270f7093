"""How commands reach an object store: one set of options, and the store that they and a Study name.

Credentials are never options: they come from the environment, as for every other client of S3.
"""

from pathlib import Path
from typing import Annotated

import typer

from xstilts.api.access import StoreSpec
from xstilts.core.errors import UserError
from xstilts.store.open import open_store
from xstilts.store.port import ObjectStore

StoreOption = Annotated[str, typer.Option(help="s3://bucket/prefix or a directory.")]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        help="URL at which this machine reaches an S3-compatible service, such as http://127.0.0.1:9000 of "
        "`kubectl port-forward`."
    ),
]
RegionOption = Annotated[str | None, typer.Option(help="Region of the bucket.")]
PathStyleOption = Annotated[
    bool | None, typer.Option("--path-style", help="Address the bucket by path, as most S3-compatible services need.")
]
CaFileOption = Annotated[
    Path | None, typer.Option(help="PEM file with the certificate authority of the endpoint; AWS_CA_BUNDLE by default.")
]


def opened(
    uri: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    path_style: bool | None = None,
    ca_file: Path | None = None,
) -> ObjectStore:
    """The store that the options name. Raises UserError for options of S3 beside a directory."""
    given = {"--endpoint": endpoint, "--region": region, "--path-style": path_style, "--ca-file": ca_file}
    if not uri.startswith("s3:") and (useless := [option for option, value in given.items() if value]):
        raise UserError(f"{useless[0]} goes with a store at s3://bucket/prefix, not with {uri!r}")
    return open_store(uri, endpoint=endpoint, region=region, path_style=path_style, ca_bundle=ca_file)


def opened_from_here(
    spec: StoreSpec, *, endpoint: str | None, region: str | None, path_style: bool | None, ca_file: Path | None
) -> ObjectStore:
    """The store of a Study in the cluster; options win, since this machine may not reach a cluster's own addresses."""
    return opened(
        spec.uri,
        endpoint=endpoint or spec.endpoint,
        region=region or spec.region,
        path_style=path_style or spec.path_style,
        ca_file=ca_file,
    )
