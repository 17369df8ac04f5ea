"""What is there: the views of the API, in the words of a request. Pure."""

from collections.abc import Mapping
from typing import Any, Final, Self

from attrs import field, frozen

from control_plane.connections.state import Status

RequestFields = Mapping[
    str, object
]  # the API's fields of a request, each of them, without a secret

_SCOPE: Final = (
    "repositories",
    "fleets",
    "auth_realms",
    "plain_http",
    "allowed_networks",
    "ca_certificate",
    "referrers",
)


@frozen
class PresentRevision:
    """A revision that serves, or a draft that waits."""

    body: RequestFields
    set_name: str | None
    secret_version: str | None  # what its secret is called; None if it has none
    fingerprint: str
    made_by: str
    made_at: str
    sent_back: str | None = None  # by whom, when and why an approver sent the draft back

    @classmethod
    def of_view(cls, view: Mapping[str, Any], description: str, *, by: str, at: str) -> Self:
        """Return the revision that a view, or a draft in it, shows."""
        return cls(
            body={
                **_body(view),
                "description": description,
                "credential_expires_at": view.get("credential_expires_at"),
            },
            set_name=view.get("set_name"),
            secret_version=secret_version_of(view),
            fingerprint=str(view["fingerprint"]),
            made_by=str(view[by]),
            made_at=str(view[at]),
            sent_back=_sent_back(view.get("sent_back")),
        )


@frozen
class PresentConnection:
    """A connection that is not revoked. `problem` says why nothing of it is believed.

    `trouble` says what else is wrong with it: an approval that has expired, for one.
    """

    id: str
    host: str
    prefix: str
    serving: PresentRevision | None
    draft: PresentRevision | None
    problem: str | None = None
    trouble: str | None = field(default=None, eq=False)  # it comes and goes with time

    @property
    def place(self) -> tuple[str, str]:
        """Host and prefix."""
        return self.host, self.prefix

    @property
    def newest(self) -> PresentRevision | None:
        """What an edit starts from."""
        return self.draft or self.serving

    @property
    def set_name(self) -> str | None:
        """The set that may end it: of what was approved; of a lone draft until then."""
        shown = self.serving or self.draft
        return shown.set_name if shown else None


def present_connection(view: Mapping[str, Any]) -> PresentConnection | None:
    """Return the connection of a view; None if it is revoked."""
    if view["status"] == Status.REVOKED:
        return None
    serving = draft = problem = None
    if view["provider"] is None:
        problem = view["problem"] or "nothing of it is believed"
    else:
        shown = PresentRevision.of_view(
            view, view["description"], by="connected_by", at="connected_at"
        )
        serving, draft = (None, shown) if view["status"] == Status.PENDING else (shown, None)
        if view["draft"] is not None:
            draft = PresentRevision.of_view(view["draft"], view["description"], by="by", at="at")
    return PresentConnection(
        id=str(view["id"]),
        host=str(view["host"]),
        prefix=str(view["repository_prefix"]),
        serving=serving,
        draft=draft,
        problem=problem,
        trouble=None if problem else view["problem"],
    )


def secret_version_of(view: Mapping[str, Any]) -> str | None:
    """Return what a revision's secret is called: its label, or which revision brought it."""
    if view["secret_version"] is None:
        return None
    return str(view.get("secret_label") or f"revision-{view['secret_version']}")


def _sent_back(shown: Mapping[str, Any] | None) -> str | None:
    if shown is None:
        return None
    return f"{shown['by']} sent it back at {shown['at']}: {shown['comment']}"


def _body(view: Mapping[str, Any]) -> dict[str, object]:
    body: dict[str, object] = {"provider": view["provider"]}
    body |= {name: view[name] for name in _SCOPE}
    if view["username"] is not None:
        body["username"] = view["username"]
    if (ecr := view["ecr"]) is not None:
        body |= {
            "role_arn": ecr["role_arn"],
            "external_id": ecr["external_id"],
            "pull_through_cache": bool(ecr.get("pull_through_cache")),
        }
    return body
