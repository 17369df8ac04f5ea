"""Signatures hold to what receivers verify with: the library of Standard Webhooks."""

import base64
import secrets
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from control_plane.webhooks.signature import SigningSecret, signed_headers

BODY = b'{"type":"webhook.test"}'


def a_secret(size: int = 32) -> str:
    """Return a new secret, as it is written."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(size)).decode()}"


def test_the_library_verifies_what_was_signed_with_any_of_several_secrets() -> None:
    """So a secret is rotated without a moment in which nothing is believed."""
    old, new, other = a_secret(), a_secret(24), a_secret(64)
    both = [SigningSecret.parse(old), SigningSecret.parse(new)]
    headers = signed_headers(both, "msg_1", BODY, datetime.now(UTC))
    assert Webhook(old).verify(BODY, headers) == Webhook(new).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, headers)
    for changed in (BODY + b" ", b""):
        with pytest.raises(WebhookVerificationError):
            Webhook(old).verify(changed, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(BODY, headers | {"webhook-id": "msg_2"})


@given(st.text(max_size=200) | st.binary(max_size=80).map(lambda key: f"whsec_{key.hex()}"))
def test_a_text_is_a_secret_of_24_to_64_bytes_or_refused_without_a_word_of_it(text: str) -> None:
    """The message is printed at the start."""
    words = ""
    try:
        SigningSecret.parse(text)
    except ValueError as error:
        words = str(error)
    if words:
        assert len(text) < 12 or text not in words
    else:
        assert text.startswith("whsec_")
        assert 24 <= len(base64.b64decode(text.removeprefix("whsec_"))) <= 64


def test_a_secret_prints_nothing_of_itself() -> None:
    """Not in a repr either."""
    text = a_secret()
    assert base64.b64decode(text.removeprefix("whsec_")).hex() not in repr(
        SigningSecret.parse(text)
    )
    assert repr(SigningSecret.parse(text)) == "SigningSecret()"
