"""Token endpoints of real registries: what each wants to be asked, and how each answers."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from attrs import define, field
from typing_extensions import override

from tests.support.simulators.login import BearerLogin, basic_header
from tests.support.simulators.wire import RecordedRequest

TokenAnswer = tuple[int, tuple[tuple[str, str], ...], bytes]
TokenFields = Callable[[str], dict[str, Any]]
JSON = (("Content-Type", "application/json"),)


def docker_hub_fields(token: str) -> dict[str, Any]:
    """Docker Hub: both names, and a time with nanoseconds as Go writes it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"
    return {"token": token, "access_token": token, "expires_in": 300, "issued_at": now}


def token_alone(token: str) -> dict[str, Any]:
    """Quay, GHCR, public ECR: nothing but the token."""
    return {"token": token}


def access_token_alone(token: str) -> dict[str, Any]:
    """ACR: OAuth's name, and nothing else."""
    return {"access_token": token}


def harbor_fields(token: str) -> dict[str, Any]:
    """Harbor: an empty `access_token`, and no `issued_at` (goharbor/harbor#23753)."""
    return {"token": token, "access_token": "", "expires_in": 1800}


def google_fields(token: str) -> dict[str, Any]:
    """Google: twelve hours, and a time."""
    now = datetime.now(UTC).isoformat()
    return {"expires_in": 43199, "issued_at": now, "token": token}


@define
class TokenEndpoint(BearerLogin):
    """A token endpoint that looks at what it is asked; its tokens are good for their scope alone.

    `refusal_status` answers a wrong credential, or none. `minted_at` is when each token was given
    out, on the monotonic clock.
    """

    shape: TokenFields = token_alone
    refusal_status: int = 401
    asked: list[RecordedRequest] = field(factory=list, init=False)
    minted_at: list[float] = field(factory=list, init=False)

    @override
    def accepts(self, request: RecordedRequest) -> bool:
        """Tell whether the token is alive, and of this repository."""
        if not super().accepts(request):
            return False
        repository = repository_of(request.path)
        _, scopes = self.tokens[(request.header("Authorization") or "").removeprefix("Bearer ")]
        return repository is None or f"repository:{repository}:pull" in scopes

    @override
    def token_answer(self, request: RecordedRequest) -> TokenAnswer:
        """Answer 400 to another service, and `refusal_status` to who may not pull."""
        self.asked.append(request)
        if self.service is not None and ("service", self.service) not in request.query:
            return 400, JSON, b'{"details":"invalid service"}'
        status, headers, body = super().token_answer(request)
        if status == 401:
            return self.refusal_status, JSON, _denied()
        return status, headers, body

    @override
    def token_fields(self, token: str) -> dict[str, Any]:
        """Return the fields in this registry's shape."""
        self.minted_at.append(time.monotonic())
        return self.shape(token)


@define
class BasicOrToken(TokenEndpoint):
    """Google's registries take the credential itself as well as a token for it."""

    @override
    def accepts(self, request: RecordedRequest) -> bool:
        """Tell whether the request carries either."""
        basic = basic_header(self.username or "", self.password or "")
        return request.header("Authorization") == basic or super().accepts(request)


def repository_of(path: str) -> str | None:
    """Return the repository in the path of a manifest, a blob, or a list of referrers."""
    for kind in ("/manifests/", "/blobs/", "/referrers/"):
        if path.startswith("/v2/") and kind in path:
            return path.removeprefix("/v2/").partition(kind)[0]
    return None


def _denied() -> bytes:
    message = "requested access to the resource is denied: upstream text that nobody may see"
    return orjson.dumps({"errors": [{"code": "DENIED", "message": message}]})
