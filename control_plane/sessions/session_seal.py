"""The keys that seal sessions: ChaCha20-Poly1305 (RFC 8439), several of them while one is rotated.

The first key seals, and each of them opens. A sealed session is base64url of a nonce and of the
sealed JSON. What it is for is part of what is authenticated.
"""

import base64
import binascii
import re
import secrets
from datetime import datetime
from typing import Final, Self

import orjson
from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from control_plane.operators.authenticated_operator import AuthenticatedOperator, LoginKind
from control_plane.operators.permissions import Role
from control_plane.sessions.session import Session
from shared.outside_bytes import Party, reads_bytes_of
from shared.secret import Secret

KEY_BYTES: Final = 32
MAX_SESSION_KEYS: Final = 8  # two are in use while one is rotated
MAX_SEALED_CHARACTERS: Final = 4000  # browsers keep 4,096 bytes of a cookie, with its name
_NONCE_BYTES: Final = 12
_PURPOSE: Final = b"registry-facade console session/1"
_LINE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class InvalidSessionKeysError(ValueError):
    """The file holds no session keys; nothing of it is quoted."""


class UnknownSessionError(Exception):
    """No key of ours sealed this, or it is not whole."""


@frozen
class SessionSeal:
    """The keys; the first one seals."""

    _keys: tuple[Secret, ...] = field(repr=False)

    @classmethod
    def make(cls) -> Self:
        """Return one new key."""
        return cls((Secret(secrets.token_bytes(KEY_BYTES)),))

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Return the keys of a file: one a line, in base64url; lines that begin with # are left."""
        lines = [line.strip() for line in content.decode("ascii", "replace").splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if not 1 <= len(keys) <= MAX_SESSION_KEYS or not all(map(_LINE.fullmatch, keys)):
            raise InvalidSessionKeysError(
                f"expected 1 to {MAX_SESSION_KEYS} lines, each with a key as"
                " `control-plane keys --only session` makes it"
            )
        return cls(tuple(Secret(base64.urlsafe_b64decode(f"{key}=")) for key in keys))

    def text(self) -> str:
        """Return what a file of these keys holds."""
        encoded = (base64.urlsafe_b64encode(key.reveal()).rstrip(b"=") for key in self._keys)
        return "".join(f"{key.decode()}\n" for key in encoded)

    def seal(self, session: Session) -> str:
        """Return the session as a cookie's value."""
        return self.seal_content(orjson.dumps(_members(session)), _PURPOSE)

    def seal_content(self, content: bytes, purpose: bytes) -> str:
        """Return what is sealed for a purpose, for a cookie; for no other purpose is it opened."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = ChaCha20Poly1305(self._keys[0].reveal()).encrypt(nonce, content, purpose)
        return base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()

    @reads_bytes_of(Party.STRANGER)
    def read(self, text: str) -> Session:
        """Return the session of a cookie's value, or raise `UnknownSessionError`."""
        return _session(self.read_content(text, _PURPOSE))

    def read_content(self, text: str, purpose: bytes) -> bytes:
        """Return what was sealed for a purpose, or raise `UnknownSessionError`."""
        if len(text) > MAX_SEALED_CHARACTERS:
            raise UnknownSessionError
        try:
            padded = text + "=" * (-len(text) % 4)
            sealed = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise UnknownSessionError from None
        for key in self._keys:
            try:
                return ChaCha20Poly1305(key.reveal()).decrypt(
                    sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose
                )
            except (InvalidTag, ValueError):  # ValueError: too short for a nonce
                continue
        raise UnknownSessionError


def _members(session: Session) -> dict[str, object]:
    return {
        "id": session.id,
        "name": session.operator.name,
        "role": session.operator.role.value,
        "person": session.operator.person,
        "display_name": session.operator.display_name,
        "began_at": session.began_at,
        "ends_at": session.ends_at,
        "used_at": session.used_at,
        "form_token": session.form_token,
        "token_sha256": session.token_sha256,
        "provider_session": session.provider_session,
        "sign_on": session.sign_on,
    }


def _session(opened: bytes) -> Session:
    """Return what was sealed; raise `UnknownSessionError` if another version sealed it."""
    members = orjson.loads(opened)
    try:
        return Session(
            members["id"],
            AuthenticatedOperator(
                members["name"],
                Role(members["role"]),
                LoginKind.SESSION,
                person=members["person"],
                display_name=members["display_name"],
            ),
            datetime.fromisoformat(members["began_at"]),
            datetime.fromisoformat(members["ends_at"]),
            datetime.fromisoformat(members["used_at"]),
            members["form_token"],
            members["token_sha256"],
            members.get("provider_session"),
            members.get("sign_on"),
        )
    except (KeyError, ValueError):
        raise UnknownSessionError from None
