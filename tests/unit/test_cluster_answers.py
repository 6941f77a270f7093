"""What an API server says, as people and callers get to know it. The answers are of a kube-apiserver 1.36."""

import json
import ssl
from typing import Any

import pytest
import urllib3

from xstilts.cluster.answers import Refusal, Request, refused, unanswered
from xstilts.cluster.errors import (
    AlreadyExists,
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotInstalled,
    Unauthorized,
)
from xstilts.cluster.port import JOBS, PODS, STUDIES
from xstilts.core.errors import PermanentError, TemporaryError, XstiltsError

CREATE = Request("create", JOBS, "team")
PATCH = Request("patch", STUDIES, "team", "one", "status")


def answer(code: int, message: str = "", reason: str = "", request: Request = PATCH, **details: Any) -> XstiltsError:
    body = {"kind": "Status", "code": code, "message": message, "reason": reason, "details": details}
    return refused(request, Refusal.of(code, {}, json.dumps(body).encode()))


def test_permissions_that_are_missing_are_named_with_a_way_to_check() -> None:
    said = (
        'jobs.batch is forbidden: User "system:serviceaccount:team:xstilts" cannot create resource "jobs" in API '
        'group "batch" in the namespace "team"'
    )
    error = answer(403, said, "Forbidden", CREATE)
    assert isinstance(error, Forbidden)
    assert str(error) == (
        "create jobs.batch in namespace team: not allowed; ask for a Role with verb create on jobs.batch, check by: "
        f"kubectl auth can-i create jobs.batch --namespace team ({said})"
    )


def test_a_quota_is_not_taken_for_a_missing_permission() -> None:
    error = answer(403, 'jobs.batch "a" is forbidden: exceeded quota: q', "Forbidden", CREATE)
    assert str(error) == 'create jobs.batch in namespace team: jobs.batch "a" is forbidden: exceeded quota: q'


def test_every_cause_of_an_invalid_object_has_a_line_once() -> None:
    causes = [
        {"field": "spec.sizes[0]", "message": "Invalid value: 0"},
        {"field": "spec.sizes[0]", "message": "Invalid value: 0"},
        {"field": "spec.model", "message": "Required value"},
    ]
    error = answer(422, "Study is invalid: and so on", "Invalid", name="one", causes=causes)
    assert isinstance(error, Invalid)
    assert str(error).splitlines() == [
        "patch studies.xstilts.dev/status one in namespace team: the API server refuses it",
        "  spec.sizes[0]: Invalid value: 0",
        "  spec.model: Required value",
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answer(401, "Unauthorized", "Unauthorized"), Unauthorized),
        (answer(404, 'studies "one" not found', "NotFound", name="one"), NotFound),
        (answer(409, 'studies "one" already exists', "AlreadyExists"), AlreadyExists),
        (answer(409, "the object has been modified", "Conflict"), Conflict),
        (answer(422, "the server rejected our request due to an error in our request", "Invalid"), Conflict),
        (answer(422, "", "Invalid", causes=[{"field": "metadata.uid", "message": "is immutable"}]), Conflict),
        (answer(500, "failed to create typed patch object (/a; v1): .spec.x: field not declared in schema"), Invalid),
        (answer(400, "the body is no JSON", "BadRequest"), Invalid),
        (answer(410, "the continue token is too old", "Expired"), ClusterUnavailable),
        (answer(500, "etcdserver: request timed out"), ClusterUnavailable),
        (answer(302), ClusterError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_each_answer_has_its_error(error: XstiltsError, kind: type[XstiltsError]) -> None:
    assert type(error) is kind
    assert isinstance(error, PermanentError | TemporaryError)


def test_a_kind_that_the_cluster_does_not_know_is_no_missing_object() -> None:
    error = refused(PATCH, Refusal.of(404, {}, b"404 page not found\n"))
    assert isinstance(error, NotInstalled)
    assert "does not know the kind Study (xstilts.dev/v1alpha1)" in str(error)


@pytest.mark.parametrize(
    ("headers", "body", "delay"),
    [
        ({"Retry-After": "7"}, b"too many", 7),
        ({}, b'{"kind": "Status", "details": {"retryAfterSeconds": 3}}', 3),
        ({}, b"", 5),
    ],
    ids=["a header says when", "the status says when", "nothing says when"],
)
def test_a_busy_server_says_when_to_come_back(headers: dict[str, str], body: bytes, delay: float) -> None:
    error = refused(PATCH, Refusal.of(429, headers, body))
    assert isinstance(error, ClusterUnavailable)
    assert error.delay == delay


def test_a_page_of_a_proxy_is_shown_in_part() -> None:
    error = refused(PATCH, Refusal.of(502, {}, b"<html>" + b"x" * 10_000))
    assert isinstance(error, ClusterUnavailable)
    assert len(str(error)) < 1200


def test_a_certificate_that_is_not_trusted_is_no_outage() -> None:
    cause = ssl.SSLCertVerificationError("certificate verify failed: self-signed")
    error = unanswered(Request("get", PODS, "a", "b"), "https://one.example", urllib3.exceptions.SSLError(cause))
    assert type(error) is ClusterError
    assert "certificate-authority" in str(error)


def test_no_answer_is_an_outage() -> None:
    error = unanswered(PATCH, "https://one.example", urllib3.exceptions.ProtocolError("Connection aborted."))
    assert isinstance(error, ClusterUnavailable)
    assert "no answer from https://one.example" in str(error)
