"""A check of a login step by step, as far as it came, or has come so far. Pure."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from attrs import frozen

from shared.upstream.check import REPOSITORY_REFUSED, REPOSITORY_UNKNOWN, CheckStage

_TLS: Final = "TLS"
# Each step, and the codes of the problems that end a check at it.
_STEPS: Final[tuple[tuple[str, str, set[str]], ...]] = (
    ("Name", "the registry's name has an address", {"not_resolved"}),
    (
        "Address",
        "checks may reach it, and something answers",
        {"address_not_allowed", "not_reachable"},
    ),
    (_TLS, "its certificate is believed", {"tls_failed"}),
    (
        "Challenge",
        "it says how to log in, at an endpoint that is allowed",
        {
            *("challenge_unusable", "realm_not_allowed", "not_a_registry", "rate_limited"),
            *("registry_error", "timeout"),
        },
    ),
    (
        "Token",
        "the login is taken",
        {"credential_refused", "policy_denied", "exchange_failed", "redirect_refused"},
    ),
)
_REPOSITORY: Final = (
    "Repository",
    "the registry shows it to this login",
    {REPOSITORY_UNKNOWN, REPOSITORY_REFUSED},
)
# The steps that are done with a stage of a check.
_DONE_WITH: Final = {
    CheckStage.NAME: ("Name",),
    CheckStage.CONNECTION: ("Address", _TLS),
    CheckStage.CHALLENGE: ("Challenge",),
    CheckStage.TOKEN: ("Token",),
    CheckStage.REPOSITORY: ("Repository",),
}


@frozen
class ShownStep:
    """A step, and whether it was done, was not, or was never reached."""

    name: str
    means: str
    state: str  # done, failed, open, asked
    words: str = ""

    @property
    def told(self) -> str:
        """What stands behind the name."""
        words = {"done": self.means, "failed": "failed", "open": "not reached"}
        return words.get(self.state, "is tried…")


def steps_so_far(
    done: Collection[CheckStage], *, plain_http: bool, repository: bool
) -> list[ShownStep]:
    """Return the steps of a check that goes on: what is done, and what is tried now."""
    named = {name for stage in done for name in _DONE_WITH[stage]}
    steps = _steps(plain_http=plain_http, repository=repository)
    at_now = next((at for at, each in enumerate(steps) if each[0] not in named), len(steps))
    return [
        ShownStep(name, means, "done" if at < at_now else "asked" if at == at_now else "open")
        for at, (name, means, _) in enumerate(steps)
    ]


def check_steps(
    check: Mapping[str, Any],
    *,
    plain_http: bool = False,
    repository: bool = False,
    is_logged_in: bool = False,
) -> list[ShownStep]:
    """Return the steps of a check's view; none if the registry was not asked at all.

    `repository`: one was to be asked for; `is_logged_in`: that was what was tried last.
    """
    steps = _steps(plain_http=plain_http, repository=repository)
    code, last = check["problem"], len(_steps(plain_http=plain_http, repository=is_logged_in)) - 1
    if code is None:
        return [ShownStep(name, means, "done") for name, means, _ in steps]
    ended_at = next((at for at, (_, _, codes) in enumerate(steps) if code in codes), None)
    if ended_at is None:
        return []
    if check["auth_scheme"] is not None:  # the challenge was read
        ended_at = last
    return [
        ShownStep(name, means, _state(at, ended_at), check["detail"] if at == ended_at else "")
        for at, (name, means, _) in enumerate(steps)
    ]


def _steps(*, plain_http: bool, repository: bool) -> list[tuple[str, str, set[str]]]:
    wanted = [each for each in _STEPS if not (plain_http and each[0] == _TLS)]
    return [*wanted, _REPOSITORY] if repository else wanted


def _state(at: int, ended_at: int) -> str:
    if at == ended_at:
        return "failed"
    return "done" if at < ended_at else "open"
