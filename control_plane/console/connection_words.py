"""A connection in a few words, as lists of the console show it. Pure."""

from typing import Any, Final

from attrs import frozen

from control_plane.connections.state import Status
from control_plane.reading.page import View
from shared.connection import Provider

PROVIDERS: Final = {
    Provider.STATIC: "Registry login",
    Provider.GOOGLE_SERVICE_ACCOUNT: "Google",
    Provider.AWS_ECR: "Amazon ECR",
}
STATUSES: Final = {
    Status.APPROVED: "Approved",
    Status.PENDING: "Waits for approval",
    Status.REVOKED: "Revoked",
}
_CHECKS: Final = {"passed": "Passed", "failed": "Failed", "skipped": "Not tried"}
_REASONS: Final = {  # by a check's code; the others are words themselves
    "not_asked": "",
    "not_resolved": "its name does not resolve",
    "address_not_allowed": "checks may not reach its address",
    "not_reachable": "nothing answered",
    "timeout": "no answer in time",
    "rate_limited": "it limited our requests",
    "registry_error": "it answered with an error",
    "aws_not_asked": "only a facade can assume the role",
}


@frozen
class Badge:
    """A short word about something, and how it is coloured: good, warn, bad, info, or not."""

    words: str
    kind: str = ""


@frozen
class ListedConnection:
    """A line of a list."""

    id: str
    place: str
    badges: tuple[Badge, ...]
    provider: str
    identity: str
    connected_at: str | None
    check: str
    ends_at: str | None  # the approval or the credential, whichever is first
    end_of: str  # which of the two
    problem: str | None
    description: str

    @classmethod
    def of(cls, view: View) -> "ListedConnection":
        """Return the line of a connection's view."""
        shown: dict[str, Any] = view
        ends = sorted(
            (at, of)
            for at, of in (
                (shown["expires_at"], "approval"),
                (shown["credential_expires_at"], "credential"),
            )
            if at and shown["status"] != Status.REVOKED
        )
        return cls(
            id=shown["id"],
            place=place_of(view),
            badges=badges_of(view),
            provider=PROVIDERS.get(shown["provider"], "Unknown"),
            identity=_identity(shown),
            connected_at=shown["connected_at"],
            check=check_of(view),
            ends_at=ends[0][0] if ends else None,
            end_of=ends[0][1] if ends else "",
            problem=shown["problem"],
            description=shown["description"] or "",
        )


def place_of(view: View) -> str:
    """Return `host` or `host/prefix`, as it is typed."""
    return "/".join(str(part) for part in (view["host"], view["repository_prefix"]) if part)


def check_of(view: View) -> str:
    """Return what the registry said to the login when it was made."""
    shown: dict[str, Any] = view
    check = shown["check"]
    reason = _REASONS.get(check["problem"], check["problem"])
    words = _CHECKS.get(check["outcome"], check["outcome"])
    return f"{words}: {reason}" if reason else words


def badges_of(view: View) -> tuple[Badge, ...]:
    """Return how a connection is, and what waits."""
    shown: dict[str, Any] = view
    badges = [_status_badge(shown)]
    if shown["draft"]:
        badges.append(Badge("Draft waits", "info"))
    if shown["sent_back"] or (shown["draft"] or {}).get("sent_back"):
        badges.append(Badge("Sent back", "warn"))
    return tuple(badges)


def _identity(shown: dict[str, Any]) -> str:
    if shown["google"]:
        return str(shown["google"]["client_email"])
    if shown["ecr"]:
        return str(shown["ecr"]["role_arn"])
    return "anonymous" if shown["anonymous"] else str(shown["username"] or "")


def _status_badge(shown: dict[str, Any]) -> Badge:
    match shown["status"]:
        case Status.APPROVED if shown["serves"]:
            return Badge("Serves", "good")
        case Status.APPROVED:
            return Badge("Does not serve", "bad")
        case Status.PENDING if shown["problem"]:
            return Badge("Not believed", "bad")
        case Status.PENDING:
            return Badge("Waits for approval", "info")
        case _:
            return Badge("Revoked")
