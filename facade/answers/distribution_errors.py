"""What a device is told: OCI errors, from one table. Upstream's text never gets here.

`{"errors": [{"code": …, "message": …, "detail": {"request_id": …}}]}`, OCI distribution
specification 1.1, "Error codes".
"""

import math
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import orjson
from attrs import field, frozen

from facade.errors import PullError
from facade.metrics.pull_metrics import RefusedBy
from facade.values.byte_range import MAX_RANGES

JSON_MEDIA_TYPE: Final = "application/json"
DEFAULT_RETRY_AFTER_SECONDS: Final = 5  # containerd and podman try again; soon, not at once


@frozen
class ErrorAnswer:
    """An answer that is not the bytes asked for."""

    status: HTTPStatus
    code: str
    message: str
    headers: dict[str, str] = field(factory=dict)
    closes: bool = False

    def body(self, request_id: str) -> bytes:
        """Return the JSON body."""
        error = {"code": self.code, "message": self.message, "detail": {"request_id": request_id}}
        return orjson.dumps({"errors": [error]})


class PullRefusedError(PullError):
    """A pull ends with this answer; the reason is for the log alone.

    `by`: the facade's own rule that refuses it; None if the registry does.
    """

    def __init__(self, answer: ErrorAnswer, reason: str, by: RefusedBy | None = None) -> None:
        """Hold them."""
        super().__init__(reason)
        self.answer = answer
        self.reason = reason
        self.by = by


class DeviceRefusal(StrEnum):
    """Why a device gets nothing at all: the label of `facade_devices_refused_total`."""

    UNIDENTIFIED = "unidentified"  # its certificate lacks the one name that devices have here
    CERTIFICATE = "certificate"  # accepted at the handshake but not now: it expired, or a CRL did
    REVOKED = "revoked"  # by an operator


class DeviceRefusedError(PullRefusedError):
    """The device gets nothing at all, whatever it asks for."""

    def __init__(self, answer: ErrorAnswer, reason: str, code: DeviceRefusal) -> None:
        """Hold them."""
        super().__init__(answer, reason, RefusedBy(code.value))
        self.code = code


UNSUPPORTED_METHOD: Final = ErrorAnswer(
    HTTPStatus.METHOD_NOT_ALLOWED,
    "UNSUPPORTED",
    "only GET and HEAD are served",
    {"Allow": "GET, HEAD"},
)
UNSUPPORTED_ROUTE: Final = ErrorAnswer(
    HTTPStatus.NOT_FOUND, "UNSUPPORTED", "only manifests and blobs by digest are served"
)
NAME_INVALID: Final = ErrorAnswer(
    HTTPStatus.BAD_REQUEST,
    "NAME_INVALID",
    "the path is /v2/<host>/<repository>/(manifests|blobs)/<digest>, without escapes",
)
PORT_INVALID: Final = ErrorAnswer(
    HTTPStatus.BAD_REQUEST,
    "NAME_INVALID",
    "a registry's port is written host_port, as registry.local_5000, and 443 is left out",
)
DIGEST_INVALID: Final = ErrorAnswer(
    HTTPStatus.BAD_REQUEST,
    "DIGEST_INVALID",
    "a digest is sha256:<64 hex digits> or sha512:<128 hex digits>, lower case",
)
TAG_NOT_SERVED: Final = ErrorAnswer(
    HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "tags are not served, only digests"
)
NAME_UNKNOWN: Final = ErrorAnswer(
    HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "the repository is not served to this device"
)
MANIFEST_UNKNOWN: Final = ErrorAnswer(
    HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "the manifest is not known to the registry"
)
BLOB_UNKNOWN: Final = ErrorAnswer(
    HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "the blob is not known to the registry"
)
DEVICE_DENIED: Final = ErrorAnswer(
    HTTPStatus.FORBIDDEN, "DENIED", "the certificate identifies no device", closes=True
)
DEVICE_REVOKED: Final = ErrorAnswer(
    HTTPStatus.FORBIDDEN, "DENIED", "the device is revoked", closes=True
)
BAD_REQUEST: Final = ErrorAnswer(
    HTTPStatus.BAD_REQUEST, "UNSUPPORTED", "the request is not valid HTTP", closes=True
)
HTTP_VERSION: Final = ErrorAnswer(
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    "UNSUPPORTED",
    "blobs are served over HTTP/1.1: an aborted HTTP/1.0 answer would look whole",
    closes=True,
)
INTERNAL: Final = ErrorAnswer(
    HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", "the facade failed", closes=True
)
CREDENTIAL_REFUSED: Final = ErrorAnswer(
    HTTPStatus.BAD_GATEWAY, "DENIED", "the registry refuses the connection's credential"
)
POLICY_DENIED: Final = ErrorAnswer(
    HTTPStatus.FORBIDDEN, "DENIED", "the registry's policy forbids to pull this"
)
ROLE_NOT_ASSUMED: Final = ErrorAnswer(
    HTTPStatus.BAD_GATEWAY,
    "DENIED",
    "this facade may not assume the connection's role; the registry was not asked",
)
SECRET_NOT_OPENED: Final = ErrorAnswer(
    HTTPStatus.BAD_GATEWAY,
    "UNAVAILABLE",
    "this facade cannot open the connection's credential; its own configuration is at fault,"
    " and the registry was not asked",
)
SECRET_UNUSABLE: Final = ErrorAnswer(
    HTTPStatus.BAD_GATEWAY,
    "DENIED",
    "the credential that was stored for the connection is of no use; the registry was not asked",
)
EGRESS_REFUSED: Final = ErrorAnswer(
    HTTPStatus.BAD_GATEWAY, "UNAVAILABLE", "the registry points to where the facade may not go"
)
WRONG_ANSWER: Final = ErrorAnswer(
    HTTPStatus.BAD_GATEWAY, "UNAVAILABLE", "the registry's answer is not what the digest names"
)
REFERRERS_UNPROVEN: Final = ErrorAnswer(
    HTTPStatus.BAD_GATEWAY,
    "UNAVAILABLE",
    "the registry lists referrers, but none of them could be proven",
)
ODD_STATUS: Final = ErrorAnswer(
    HTTPStatus.BAD_GATEWAY, "UNAVAILABLE", "the registry does not accept the request"
)

SHUTTING_DOWN: Final = ErrorAnswer(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "UNAVAILABLE",
    "the facade shuts down",
    {"Retry-After": str(DEFAULT_RETRY_AFTER_SECONDS)},
    closes=True,
)
TOO_MANY_PULLS: Final = ErrorAnswer(
    HTTPStatus.TOO_MANY_REQUESTS,
    "TOOMANYREQUESTS",
    "the device pulls too much at once",
    {"Retry-After": str(DEFAULT_RETRY_AFTER_SECONDS)},
)
# containers/image asks again with half as many; other statuses end its pull.
TOO_MANY_RANGES: Final = ErrorAnswer(
    HTTPStatus.BAD_REQUEST,
    "RANGE_INVALID",
    f"at most {MAX_RANGES} ranges are served in one request",
)


def range_not_satisfiable(length: int) -> ErrorAnswer:
    """Return the answer to a range that begins behind the end."""
    return ErrorAnswer(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        "RANGE_INVALID",
        "the range begins behind the end of the blob",
        {"Content-Range": f"bytes */{length}", "Accept-Ranges": "bytes"},
    )


def rate_limited(retry_after_seconds: float | None) -> ErrorAnswer:
    """Return the answer to upstream's rate limit."""
    return _too_many("the registry limits the rate of requests", retry_after_seconds)


def too_many_requests(retry_after_seconds: float) -> ErrorAnswer:
    """Return the answer to a device that asks faster than it may."""
    return _too_many("the device sends too many requests", retry_after_seconds)


def too_costly(retry_after_seconds: float) -> ErrorAnswer:
    """Return the answer to a device that costs upstream more than it may."""
    return _too_many("the device asks for too much that is not stored here", retry_after_seconds)


def _too_many(message: str, retry_after_seconds: float | None) -> ErrorAnswer:
    headers = _retry_after(retry_after_seconds)
    return ErrorAnswer(HTTPStatus.TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message, headers)


def wrong_answer_lately(retry_after_seconds: float) -> ErrorAnswer:
    """Return the answer if the registry sent wrong bytes and is not asked for them now."""
    headers = _retry_after(math.ceil(retry_after_seconds))  # earlier is refused again
    return ErrorAnswer(WRONG_ANSWER.status, WRONG_ANSWER.code, WRONG_ANSWER.message, headers)


def unavailable(message: str, retry_after_seconds: float | None = None) -> ErrorAnswer:
    """Return the answer if the registry, or this facade, cannot serve now."""
    return ErrorAnswer(
        HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", message, _retry_after(retry_after_seconds)
    )


def too_slow() -> ErrorAnswer:
    """Return the answer if the registry does not answer in time."""
    return ErrorAnswer(
        HTTPStatus.GATEWAY_TIMEOUT,
        "UNAVAILABLE",
        "the registry does not answer in time",
        _retry_after(None),
    )


def _retry_after(seconds: float | None) -> dict[str, str]:
    whole = DEFAULT_RETRY_AFTER_SECONDS if seconds is None else max(1, int(seconds))
    return {"Retry-After": str(whole)}
