"""What of a content a registry is asked for: all of it, the bytes of a span, or its last ones."""

from typing import Final, Self

from attrs import frozen


@frozen
class AskedRange:
    """A range as `Range` names it (RFC 9110 section 14.1.2), or everything."""

    first_byte: int = 0
    last_byte: int | None = None  # None: to the end
    last_bytes: int | None = None  # so many of the last ones instead, one at least

    @classmethod
    def of_the_end(cls, count: int) -> Self:
        """Return the range of so many last bytes, one at least."""
        return cls(last_bytes=count)

    @property
    def is_whole(self) -> bool:
        """Whether everything is asked for."""
        return self == WHOLE

    @property
    def is_from_the_first_byte(self) -> bool:
        """Whether it begins where the content does, however long that is."""
        return not self.first_byte and self.last_bytes is None

    @property
    def header(self) -> str | None:
        """What `Range` says; None: there is none."""
        if self.is_whole:
            return None
        if self.last_bytes is not None:
            return f"bytes=-{self.last_bytes}"
        return f"bytes={self.first_byte}-{'' if self.last_byte is None else self.last_byte}"


WHOLE: Final = AskedRange()
THE_FIRST_BYTE: Final = AskedRange(0, 0)
