"""An operator's API token: `rfo_<name>.<43 characters of base64url>`, 256 random bits.

It bears the operator's name, so that a login looks up one signed statement by its subject and
never searches columns. Only the SHA-256 of the whole token is stored. With so many random bits it
needs no salt and no stretching.
"""

import base64
import hashlib
import re
import secrets
from typing import Final, Self

from attrs import field, frozen

from control_plane.errors import NotAuthenticatedError
from shared.outside_bytes import Party, reads_bytes_of
from shared.secret import Secret

TOKEN_PREFIX: Final = "rfo_"  # noqa: S105  # scanners for leaked secrets can look for it
TOKEN_RANDOM_BYTES: Final = 32
MAX_NAME_CHARACTERS: Final = 64
MAX_TOKEN_CHARACTERS: Final = len(TOKEN_PREFIX) + MAX_NAME_CHARACTERS + 1 + 43

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?", re.ASCII)
NAME_PATTERN: Final = f"^{_NAME.pattern}$"  # as `openapi.json` has it
_TOKEN: Final = re.compile(
    rf"{TOKEN_PREFIX}(?P<name>{_NAME.pattern})\.(?P<random>[A-Za-z0-9_-]{{43}})", re.ASCII
)


class InvalidOperatorNameError(ValueError):
    """The text is not an operator's name."""


class InvalidOperatorTokenError(ValueError):
    """The text is not an operator's token; it is not quoted."""


@frozen
class OperatorName:
    """`alice` or `alice@example.com`; without a `:`, which marks an actor at a shell."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the name; raise `InvalidOperatorNameError` for anything else."""
        if not _NAME.fullmatch(text):
            raise InvalidOperatorNameError(
                f"an operator's name has at most {MAX_NAME_CHARACTERS} characters of a-z, 0-9 "
                "and, between them, '.', '_', '@', '+' and '-'"
            )
        return cls(text)

    def __str__(self) -> str:
        """Return the name itself."""
        return self.value


@frozen
class OperatorToken:
    """A token that was presented or has just been minted."""

    name: OperatorName
    secret: Secret = field(repr=False)  # the whole token

    @classmethod
    def mint(cls, name: OperatorName) -> Self:
        """Return a new token for the operator."""
        random = base64.urlsafe_b64encode(secrets.token_bytes(TOKEN_RANDOM_BYTES)).rstrip(b"=")
        return cls(name, Secret(f"{TOKEN_PREFIX}{name}.{random.decode()}"))

    @classmethod
    @reads_bytes_of(Party.STRANGER)
    def parse(cls, text: str) -> Self:
        """Return the token; raise `InvalidOperatorTokenError` for anything else."""
        match = _TOKEN.fullmatch(text) if len(text) <= MAX_TOKEN_CHARACTERS else None
        if match is None:
            raise InvalidOperatorTokenError(
                f"an operator's token is {TOKEN_PREFIX}<name>.<43 characters>"
            )
        return cls(OperatorName(match["name"]), Secret(text))

    @classmethod
    def presented(cls, text: str) -> Self:
        """Return the token that somebody calls with, or raise `NotAuthenticatedError`."""
        try:
            return cls.parse(text)
        except InvalidOperatorTokenError as error:
            raise NotAuthenticatedError(
                f"this is no operator's token, or not the whole of one: {error}",
                reason="not of a token's form",
            ) from None

    @property
    def sha256(self) -> str:
        """The hexadecimal hash that the operator's statement holds."""
        return hashlib.sha256(self.secret.reveal()).hexdigest()
