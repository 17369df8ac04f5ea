"""The signature of Standard Webhooks: HMAC-SHA256 over id, time and body. Pure.

<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

While a secret is rotated, both sign, and a receiver may verify with either of them.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Self

from attrs import field, frozen

PREFIX: Final = "whsec_"
MIN_SECRET_BYTES: Final = 24  # the specification's
MAX_SECRET_BYTES: Final = 64  # the specification's
MAX_SECRET_CHARACTERS: Final = 128  # 64 bytes have 88 characters in base64


@frozen
class SigningSecret:
    """A secret that a target shares with us."""

    _key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the secret of `whsec_` and base64; raise `ValueError`, which quotes nothing."""
        encoded = text.removeprefix(PREFIX)
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        in_bounds = MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES
        if encoded == text or len(text) > MAX_SECRET_CHARACTERS or not in_bounds:
            raise ValueError(
                f"expected {PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in base64:"
                " `openssl rand -base64 32` makes some"
            )
        return cls(key)

    def sign(self, signed: bytes) -> str:
        """Return a signature of version 1."""
        mac = hmac.digest(self._key, signed, "sha256")
        return f"v1,{base64.b64encode(mac).decode()}"


def signed_headers(
    secrets: Sequence[SigningSecret], event_id: str, body: bytes, at: datetime
) -> dict[str, str]:
    """Return the headers that prove who sends a body, and when."""
    seconds = str(int(at.timestamp()))
    signed = b".".join((event_id.encode(), seconds.encode(), body))
    return {
        "webhook-id": event_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(secret.sign(signed) for secret in secrets),
    }
