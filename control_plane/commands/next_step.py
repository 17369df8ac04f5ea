"""What whoever was refused by the API can do next, in words. Pure.

Some refusals say it themselves: a conflict its way on, a wrong field what is expected.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from control_plane.commands.saved_login import LOGS_IN_AGAIN

_LISTS: Final = {
    "connections": "`control-plane connections list --all` shows those that there are",
    "device-revocations": "`control-plane devices list` shows those that there are",
}
_LET_IN_AGAIN: Final = (
    "`control-plane operators rotate NAME` makes a new token, which CONTROL_PLANE_TOKEN takes;"
    " `control-plane login` logs you in by single sign-on"
)


def next_step(
    status: int, path: Sequence[str], *, is_login: bool, retry_after_seconds: int | None
) -> str | None:
    """Return what to do; None if the refusal says it. `path` is what was asked, behind `/v1`."""
    again = (
        "try again later"
        if retry_after_seconds is None
        else f"try again in {retry_after_seconds} s"
    )
    steps: dict[int, str | None] = {
        HTTPStatus.UNAUTHORIZED: LOGS_IN_AGAIN if is_login else _LET_IN_AGAIN,
        HTTPStatus.FORBIDDEN: (
            "an operator of that role can do it; `control-plane operators list`, on the control"
            " plane's host, shows who that is"
        ),
        HTTPStatus.NOT_FOUND: _list_of(path),
        HTTPStatus.TOO_MANY_REQUESTS: again,
        HTTPStatus.INTERNAL_SERVER_ERROR: (
            "the control plane's log says what happened, by the request id"
        ),
        HTTPStatus.SERVICE_UNAVAILABLE: (
            f"{again}; /readyz of the control plane says what is wrong"
        ),
    }
    return steps.get(status)


def _list_of(path: Sequence[str]) -> str | None:
    """Return which list has what is there; a connection without a grant is there already."""
    return None if path[-1] == "grant" else _LISTS.get(path[0])
