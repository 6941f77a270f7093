"""Addresses that people write: no credentials in them, and one spelling of each.

What stands in a Study stands in arguments of processes, reports and statuses, so an address with a password in it is
refused before anything reads it. Messages never repeat one.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

HTTP = r"^https?://[^/?#@\s\\]+(/[^?#@\s\\]*)?$"
"""`http(s)://host[:port][/path]`. No `@` anywhere: a password may hold a slash."""
S3 = r"^s3://[^/?#@:\s\\]+(/[^?#\s]*)?$"
"""`s3://bucket[/prefix]`."""
NO_CREDENTIALS = "without user, password, query or fragment: credentials belong in a Secret or in the environment"
_PATHS = {"sqlite", "file"}
_DEFAULT_PORTS = {"http": 80, "https": 443}


def checked(address: str) -> str:
    """The address as it is. Raises ValueError where it holds credentials."""
    scheme, separator, rest = address.partition("://")
    match scheme.lower():
        case "http" | "https":
            refused, form = not re.fullmatch(HTTP, address, re.IGNORECASE), "http(s)://host:port"
        case "s3":
            refused, form = not re.fullmatch(S3, address), "s3://bucket/prefix"
        case other:
            refused, form = bool(separator) and other not in _PATHS and "@" in rest, f"{other}://…"
    if separator and refused:
        raise ValueError(f"{redacted(address)!r} is not allowed: write {form} {NO_CREDENTIALS}")
    return address


def _checked_http(address: str) -> str:
    if "://" not in address:
        raise ValueError(f"{redacted(address)!r} is not a URL: write http(s)://host:port")
    return checked(address)


Address = Annotated[str, AfterValidator(checked)]
"""A URI, or a directory."""
HttpAddress = Annotated[str, AfterValidator(_checked_http)]


def redacted(text: str) -> str:
    """The text without `user:password@` in its addresses."""
    return re.sub(r"\b([A-Za-z][A-Za-z0-9+.-]*):/*\S*@", r"\1://", text)


def normalized(address: str) -> str:
    """`http(s)://host[:port][/path]` in one spelling: host in lower case, no default port, no slash at the end.

    Credentials, query and fragment are left out. Raises ValueError for any other address.
    """
    parts = urlsplit(address)
    host, port = parts.hostname, parts.port
    if not host or parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{redacted(address)!r} is no http(s) address")
    netloc = f"[{host}]" if ":" in host else host
    suffix = f":{port}" if port and port != _DEFAULT_PORTS[parts.scheme] else ""
    return f"{parts.scheme}://{netloc}{suffix}{parts.path.rstrip('/')}"
