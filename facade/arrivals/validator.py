"""Whether two answers of a registry are about the same bytes, as far as they say. Pure.

Nothing that they say is proven: only the digest of the whole is. But what contradicts itself need
not be bought.
"""

from typing import Self

from attrs import frozen

from shared.oci import Digest
from shared.upstream.answer import UpstreamAnswer


@frozen
class Validator:
    """What an answer says of which bytes it has some of."""

    etag: str | None  # a strong one
    names_digest: bool | None  # whether it is the one that was asked for; None: it names none

    @classmethod
    def of(cls, answer: UpstreamAnswer, digest: Digest) -> Self:
        """Return what an answer to a request for a digest says."""
        named = answer.digest_header
        return cls(answer.etag, None if named is None else named == str(digest))

    @property
    def is_strong(self) -> bool:
        """Whether another answer can be held against it."""
        return self.names_digest is not False and (self.etag is not None or bool(self.names_digest))

    def fits(self, other: "Validator") -> bool:
        """Tell whether both say that they are about the same bytes. Silence is no agreement."""
        if False in (self.names_digest, other.names_digest):
            return False
        if self.etag is not None and other.etag is not None:
            return self.etag == other.etag
        return bool(self.names_digest and other.names_digest)
