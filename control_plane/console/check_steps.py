"""A check of a login step by step, as far as it came. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

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


@frozen
class ShownStep:
    """A step, and whether it was done, was not, or was never reached."""

    name: str
    means: str
    state: str  # done, failed, open
    words: str = ""

    @property
    def told(self) -> str:
        """What stands behind the name."""
        return {"done": self.means, "failed": "failed", "open": "not reached"}[self.state]


def check_steps(check: Mapping[str, Any], *, plain_http: bool = False) -> list[ShownStep]:
    """Return the steps of a check's view; none if the registry was not asked at all."""
    steps = [each for each in _STEPS if not (plain_http and each[0] == _TLS)]
    code, last = check["problem"], len(steps) - 1
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


def _state(at: int, ended_at: int) -> str:
    if at == ended_at:
        return "failed"
    return "done" if at < ended_at else "open"
