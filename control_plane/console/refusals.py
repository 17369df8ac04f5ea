"""What went wrong, as a page and beside a form: by the one table of problems of the API. Pure."""

from http import HTTPStatus
from typing import Final

from attrs import evolve

from control_plane.console.page import ConsoleForm, PageView
from control_plane.console.submission import FormState, Submission, refused
from control_plane.errors import CheckFailedError, ControlPlaneError, InvalidRequestError
from control_plane.http.problems import HttpProblem, problem_of

_TITLES: Final = {
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.UNPROCESSABLE_ENTITY: "This cannot be shown",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something is wrong here",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not at the moment",
}


def error_view(problem: HttpProblem, request_id: str | None = None) -> PageView:
    """Return a page that says what went wrong."""
    title = _TITLES.get(problem.status, problem.status.phrase)
    context = {"detail": problem.detail, "errors": _errors(problem), "request_id": request_id}
    return PageView("error.html", title, context, problem.status)


def _errors(problem: HttpProblem) -> list[str]:
    """Return what is wrong with each field or parameter."""
    errors = problem.members.get("errors")
    if not isinstance(errors, list):
        return []
    named = (each.get("parameter") or each["pointer"].removeprefix("/") for each in errors)
    return [f"{name}: {each['detail']}" for name, each in zip(named, errors, strict=True)]


def send_again_view(
    url: str, submission: Submission, form: ConsoleForm, *errors: ControlPlaneError
) -> PageView:
    """Return a page that keeps what was typed, and sends it again to the same form.

    It says what is wrong: first with the form, and then with the page on which it stands.
    """
    of_form, *of_page = [problem_of(each) for each in errors]
    reasons = [str(errors[0]), *_errors(of_form), *(each.detail for each in of_page)]
    status = of_form.status
    kept = submission.kept(form.secrets)
    fields = [(name, text) for name, texts in kept.items() for text in texts]
    context = {
        "url": url,
        "fields": fields,
        "reasons": [*dict.fromkeys(reasons)],
        "must_sign_in": status == HTTPStatus.UNAUTHORIZED,
        "secrets_left": any(submission.text(name) for name in form.secrets),
    }
    return PageView("send_again.html", "Not done yet", context, status)


def refusal_of(
    error: ControlPlaneError, submission: Submission, form: ConsoleForm
) -> tuple[FormState, HTTPStatus]:
    """Return how a form is shown again after an error, and the answer's status."""
    status = problem_of(error).status
    if isinstance(error, InvalidRequestError):
        state = refused(submission, form.secrets, error.errors)
        if isinstance(error, CheckFailedError):
            state = evolve(state, check=error.check)
        return state, status
    return refused(submission, form.secrets, (), [str(error)]), status
