"""Bytes and texts that look like what is expected, and are not: cut, doubled, swapped, overlong."""

from collections.abc import Sequence
from random import Random
from typing import Final

from attrs import define, field

_PIECES: Final = (
    *(b"", b"\0", b"\xff", b" ", b"\t", b'"', b"\\", b"/", b"%2f", b"..", b"=", b",", b";", b":"),
    *(b"[[", b"{{", b'{"a":', b"9" * 400, b"-1", b"1e999", b"\xc3\x28", b"A" * 5000, b"?", b"#"),
)
_SEED: Final = 14


@define
class Nonsense:
    """Makes them, always the same ones in the same order."""

    _random: Random = field(factory=lambda: Random(_SEED), init=False)  # noqa: S311 - no secret

    def like(self, *examples: bytes) -> bytes:
        """Return a damaged example."""
        content = bytearray(self._random.choice(examples))
        for _ in range(self._random.randint(1, 4)):
            at = self._random.randint(0, len(content))
            match self._random.randrange(4):
                case 0:
                    content[at:at] = self._random.choice(_PIECES)
                case 1:
                    del content[at : at + self._random.randint(1, 8)]
                case 2 if at < len(content):
                    content[at] ^= 1 << self._random.randrange(8)
                case _:
                    content += content[at:][:4096]
        return bytes(content)

    def header(self, *examples: str) -> str:
        """Return a damaged header value that still is one: no line break, no NUL."""
        text = self.like(*(each.encode() for each in examples)).decode("latin-1")
        return "".join(each for each in text if each >= " " and each != "\x7f")[:8000]

    def one_of(self, choices: Sequence[int]) -> int:
        """Return one of these."""
        return self._random.choice(choices)
