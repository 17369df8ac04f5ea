"""A secret that never prints.

Whoever asks (`str`, `repr`, `format`, a log processor, a traceback with locals, `pickle`, `copy`)
gets `<redacted>` or an error. Only `reveal()` gives the bytes, so one word finds every place that
handles them.
"""

import hmac
from typing import Final, NoReturn, final

REDACTED: Final = "<redacted>"


@final
class Secret:
    """Secret bytes; text is held as UTF-8."""

    __slots__ = ("__value",)

    def __init__(self, value: bytes | str) -> None:
        """Hold the value; text is encoded as UTF-8."""
        self.__value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """Return the secret bytes."""
        return self.__value

    def reveal_text(self) -> str:
        """Return the secret as text; raise `ValueError`, without the bytes, if it is not UTF-8."""
        try:
            return self.__value.decode()
        except UnicodeDecodeError:
            raise ValueError("the secret is not UTF-8 text") from None

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        return isinstance(other, Secret) and hmac.compare_digest(self.__value, other.reveal())

    __hash__ = None  # type: ignore[assignment]  # a secret is no key of a mapping

    def __repr__(self) -> str:
        """Return the redaction."""
        return REDACTED

    def __str__(self) -> str:
        """Return the redaction."""
        return REDACTED

    def __format__(self, _specification: str) -> str:
        """Return the redaction."""
        return REDACTED

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a Secret is not serialised")
