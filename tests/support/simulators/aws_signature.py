"""Signature Version 4, verified: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>."""

import hashlib
import hmac
import re
from typing import Self

from attrs import frozen

from tests.support.simulators.wire import RecordedRequest

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[A-Z0-9]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/"
    r"(?P<service>[a-z]+)/aws4_request, SignedHeaders=(?P<headers>[a-z0-9;-]+),"
    r" Signature=(?P<signature>[0-9a-f]{64})"
)


@frozen
class SignedRequest:
    """What a request's `Authorization` says; believed once `is_signed_with` said so."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    request: RecordedRequest

    @classmethod
    def parse(cls, request: RecordedRequest) -> Self | None:
        """Return it; None if the request is not signed."""
        match = _AUTHORIZATION.fullmatch(request.header("Authorization") or "")
        if match is None:
            return None
        headers = tuple(match["headers"].split(";"))
        scope = match["key"], match["date"], match["region"], match["service"]
        return cls(*scope, headers, match["signature"], request)

    def is_signed_with(self, secret_access_key: str) -> bool:
        """Tell whether the whole request was signed with this key."""
        key = b"AWS4" + secret_access_key.encode()
        for part in (self.date, self.region, self.service, "aws4_request"):
            key = _hmac(key, part)
        return hmac.compare_digest(_hmac(key, self._string_to_sign()).hex(), self.signature)

    def _string_to_sign(self) -> str:
        scope = f"{self.date}/{self.region}/{self.service}/aws4_request"
        canonical = hashlib.sha256(self._canonical_request().encode()).hexdigest()
        moment = self.request.header("X-Amz-Date")
        return f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{canonical}"

    def _canonical_request(self) -> str:
        request = self.request
        lines = [f"{name}:{request.header(name)}" for name in self.signed_headers]
        body = hashlib.sha256(request.body).hexdigest()
        signed = ";".join(self.signed_headers)
        return "\n".join([request.method, request.path, "", *lines, "", signed, body])


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")
