"""What S3 and botocore say, in our own words: which call failed, on what, and what a person can do about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
    SSLError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as NoConnectionError,
)

from xstilts.core.errors import StorageError, StorageUnavailable, XstiltsError
from xstilts.store.port import NotFound, PreconditionFailed

_CREDENTIALS = (
    "the credentials are wrong or have expired: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
    "AWS_SESSION_TOKEN, the profile, or the service account's role"
)
_REGION = "the bucket lies in another region: set the store's region (or AWS_REGION)"
_ADVICE = {  # by S3's code, else by HTTP status, which is all that an answer to HEAD has
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "XAdminUserNotFound": _CREDENTIALS,  # versitygw
    "401": _CREDENTIALS,
    "403": "access is denied: check the credentials, and let them do this on the bucket and prefix",
    "NoSuchBucket": "the bucket does not exist: create it, or correct the store's uri",
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "501": "the server does not know this call; use a store with conditional writes",
}
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError)
_NO_ANSWER = (NoConnectionError, HTTPClientError, IncompleteReadError, ResponseStreamingError)
_TEMPORARY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "NoSuchUpload"}


class Conflict(StorageUnavailable):
    """409: another conditional write of the same key is under way."""


class _Failure(NamedTuple):
    """One failed call, for the beginning of every message."""

    call: str
    uri: str
    key: str

    def __str__(self) -> str:
        return f"{self.call} of {self.key!r} in {self.uri} failed"


@contextmanager
def translated(call: str, uri: str, key: str) -> Iterator[None]:
    """Raise our errors for botocore's."""
    failure = _Failure(call, uri, key)
    try:
        yield
    except ClientError as error:
        raise _refused(failure._replace(call=error.operation_name), error) from error
    except BotoCoreError as error:
        raise _unanswered(failure, error) from error


def _refused(failure: _Failure, error: ClientError) -> XstiltsError:
    """For an answer of the server."""
    answer = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = answer.get("Code", "")
    said = f"{code}: {answer.get('Message', '')[:200]}"
    if code in {"NoSuchKey", "404"}:
        return NotFound(f"{failure.uri} holds no object {failure.key!r}")
    if status == 412:
        return PreconditionFailed(f"{failure.key!r} in {failure.uri} is there already, or was changed by another")
    if advice := _ADVICE.get(code) or _ADVICE.get(str(status)):
        return StorageError(f"{failure}: {advice} ({said})")
    if status == 409:
        return Conflict(f"{failure}: {said}")
    if status >= 500 or status == 429 or code in _TEMPORARY:
        return StorageUnavailable(f"{failure}: the server is not able to now ({said})")
    return StorageError(f"{failure}: {said}")


def _unanswered(failure: _Failure, error: BotoCoreError) -> XstiltsError:
    """For a request that was never sent, or had no whole answer."""
    if isinstance(error, _NO_CREDENTIALS):
        return StorageError(f"{failure}: there are no credentials; {_CREDENTIALS}")
    if isinstance(error, SSLError):
        return StorageError(f"{failure}: no trusted TLS; check the CA bundle and the store's endpoint ({error})")
    if isinstance(error, _NO_ANSWER):
        return StorageUnavailable(f"{failure}: no answer; check the network and the store's endpoint ({error})")
    return StorageError(f"{failure}: {error}")
