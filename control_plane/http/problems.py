"""Every error as an answer: RFC 9457 problems, made in one place."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import web
from attrs import field, frozen

from control_plane.errors import (
    CheckFailedError,
    ConflictError,
    ControlPlaneError,
    FieldError,
    InvalidRequestError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
    PreconditionFailedError,
    TooManyRequestsError,
    TryLaterError,
    UnavailableError,
    UnreadableBodyError,
    UnsupportedMediaTypeError,
)
from control_plane.http.http_call import (
    BODY_TIMEOUT_SECONDS,
    MAX_BODY_BYTES,
    MAX_REVOCATIONS_BODY_BYTES,
)
from control_plane.http.operation import PROBLEM

RETRY_AFTER_SECONDS: Final = 5  # a database that restarts is back about then

_STATUSES: Final[tuple[tuple[type[ControlPlaneError], HTTPStatus], ...]] = (
    (UnreadableBodyError, HTTPStatus.BAD_REQUEST),
    (UnsupportedMediaTypeError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (InvalidRequestError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotAuthenticatedError, HTTPStatus.UNAUTHORIZED),
    (NotPermittedError, HTTPStatus.FORBIDDEN),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (PreconditionFailedError, HTTPStatus.PRECONDITION_FAILED),
    (ConflictError, HTTPStatus.CONFLICT),
    (TooManyRequestsError, HTTPStatus.TOO_MANY_REQUESTS),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (
        ControlPlaneError,
        HTTPStatus.INTERNAL_SERVER_ERROR,
    ),  # of commands and of the start: no call raises one
)

_DETAILS: Final = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        f"a body has at most {MAX_BODY_BYTES} bytes, a batch of device revocations at most"
        f" {MAX_REVOCATIONS_BODY_BYTES}"
    ),
    HTTPStatus.REQUEST_TIMEOUT: f"the body did not come within {BODY_TIMEOUT_SECONDS:.0f} s",
}


@frozen
class HttpProblem:
    """What a caller is told; `members` are further members of the problem's object."""

    status: HTTPStatus
    detail: str
    headers: Mapping[str, str] = field(factory=dict)
    members: Mapping[str, object] = field(factory=dict)

    def response(self, request_id: str) -> web.Response:
        """Return the answer."""
        body = {
            "type": "about:blank",  # RFC 9457 section 4.2.1: the title says what the status says
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "request_id": request_id,
            **self.members,
        }
        return web.Response(
            status=self.status,
            body=orjson.dumps(body),
            content_type=PROBLEM,
            headers=self.headers,
        )


INTERNAL: Final = HttpProblem(
    HTTPStatus.INTERNAL_SERVER_ERROR, "something is wrong here; the log has it by the request id"
)


def problem_of(error: ControlPlaneError) -> HttpProblem:
    """Return the problem of one of our errors."""
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    headers: dict[str, str] = {}
    members: dict[str, object] = {}
    match error:
        case NotAuthenticatedError():
            # RFC 6750 section 3.1: there is an error where there is a token.
            wrong = ', error="invalid_token"' if error.is_token_given else ""
            headers["WWW-Authenticate"] = f'Bearer realm="control-plane"{wrong}'
        case TooManyRequestsError():
            headers["Retry-After"] = str(error.retry_after_seconds)
        case TryLaterError():
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        case ConflictError() if error.conflict:
            members["conflict"] = error.conflict
        case InvalidRequestError():
            members["errors"] = [_field_error(each) for each in error.errors]
            if isinstance(error, CheckFailedError):
                members["check"] = error.check
        case _:
            pass
    return HttpProblem(status, str(error), headers, members)


def problem_of_http(error: web.HTTPException) -> HttpProblem:
    """Return the problem of a request that aiohttp itself refuses, in our own words."""
    status = HTTPStatus(error.status)
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    detail = _DETAILS.get(status) or status.description or status.phrase
    return HttpProblem(status, detail, headers)


def _field_error(error: FieldError) -> dict[str, str]:
    if error.parameter is not None:
        return {"parameter": error.parameter, "detail": error.detail}
    return {"pointer": error.pointer, "detail": error.detail}
