"""Errors as answers."""

from http import HTTPStatus

import orjson
import pytest

from control_plane import errors
from control_plane.errors import ControlPlaneError, DatabaseUnavailableError, FieldError
from control_plane.http.operation import PROBLEMS, problem_responses
from control_plane.http.problems import INTERNAL, problem_of

CANARY = "canary-in-an-error"


def every_error() -> list[ControlPlaneError]:
    """Return one error of each class that an answer is made of."""
    return [
        errors.UnreadableBodyError("unreadable"),
        errors.UnsupportedMediaTypeError("another type"),
        errors.InvalidRequestError((FieldError("/host", "missing"),)),
        errors.CheckFailedError(FieldError("/token", "refused"), {"outcome": "failed"}),
        errors.NotAuthenticatedError("no token", reason=CANARY, claimed_name=CANARY),
        errors.NotPermittedError("role"),
        errors.NotFoundError("nothing"),
        errors.ConflictError("conflict"),
        errors.NotBelievedError("not believed"),
        errors.StatementLevelError(2),
        errors.PreconditionFailedError("another than was seen"),
        errors.TooManyRequestsError(3),
        errors.UnavailableError("away"),
        errors.TryLaterError("away for a while"),
        errors.AuditDamagedError("damaged"),
        errors.AuditUnreadError(),
        errors.ActsWaitingError(),
        errors.ClockError("set it right"),
        DatabaseUnavailableError(OSError(CANARY)),
        errors.SchemaOutdatedError("migrate"),
        errors.NotificationQueueFullError(),
        errors.SignOnUnavailableError(CANARY),
        errors.VerifyingEndedError(),
    ]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_each_error_has_a_problem(error: ControlPlaneError) -> None:
    """With its status in head and body, and nothing that the message does not say."""
    response = problem_of(error).response("id")
    assert isinstance(response.body, bytes)
    body = orjson.loads(response.body)
    assert response.content_type == "application/problem+json"
    assert body["status"] == response.status >= HTTPStatus.BAD_REQUEST
    assert (body["type"], body["request_id"]) == ("about:blank", "id")
    assert CANARY not in response.body.decode()


def test_the_description_has_every_problem() -> None:
    """Those of our errors, those that a body may be at HTTP itself, and a failure of ours."""
    of_http = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
    told = {problem_of(error).status for error in every_error()} | of_http | {INTERNAL.status}
    assert told == {status for status, _ in PROBLEMS.values()}


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_the_description_has_every_header(error: ControlPlaneError) -> None:
    """Whoever generates a client finds Retry-After there."""
    problem = problem_of(error)
    (described,) = (
        described
        for name, described in problem_responses().items()
        if PROBLEMS[name][0] == problem.status
    )
    assert problem.headers.keys() <= described.get("headers", {}).keys()


def test_no_error_is_forgotten() -> None:
    """A class without a status would be a failure in the middle of an answer."""
    covered = {type(error) for error in every_error()}
    defined = {
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, ControlPlaneError)
    }
    assert defined - covered == {ControlPlaneError}
