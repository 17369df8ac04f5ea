"""The store behind a registry: it gives what a signed URL says, to GET alone, for a while."""

import secrets

from typing_extensions import override

from tests.support.simulators.behaviour import Behaviour
from tests.support.simulators.registry import StoreSimulator
from tests.support.simulators.wire import RecordedRequest, Wire


class SignedStore(StoreSimulator):
    """S3 and its like: a signature covers the method, and expires.

    HEAD is answered 403, a signature that has expired too, and one beside `Authorization` 400.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type] # the base's own
        self._alive: set[str] = set()
        self._paths: dict[bytes, str] = {}
        self.signed = 0

    def sign(self, content: bytes, *, get: Behaviour | None = None) -> str:
        """Keep the content; return a new signed URL of it."""
        path = self._paths.get(content)
        if path is None:
            path = self._paths[content] = self.put(content, get=get).partition("?")[0]
        signature = secrets.token_urlsafe(12)
        self._alive.add(signature)
        self.signed += 1
        return f"{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Expires=300&X-Signature={signature}"

    def expire(self) -> None:
        """Let every signature expire that was given out."""
        self._alive.clear()

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Look at the signature first."""
        signature = dict(request.query).get("X-Signature")
        problem = self._problem(request, signature)
        if problem is None:
            await super().respond(request, wire)
            return
        status, code = problem
        body = f"<Error><Code>{code}</Code></Error>".encode()
        headers = (("Content-Type", "application/xml"), ("Content-Length", str(len(body))))
        await wire.head(status, headers)
        if request.method != "HEAD":
            await wire.write(body)

    def _problem(self, request: RecordedRequest, signature: str | None) -> tuple[int, str] | None:
        if request.header("Authorization"):
            return 400, "InvalidArgument"  # "Only one auth mechanism allowed"
        if request.method != "GET":
            return 403, "SignatureDoesNotMatch"
        if signature not in self._alive:
            return 403, "AccessDenied"
        return None
