"""A mapping whose whole content is replaced while others read it, in any thread."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from attrs import define, field
from typing_extensions import override

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@define(eq=False)
class Replaceable(Mapping[_Key, _Value]):
    """A mapping with the newest content."""

    _content: Mapping[_Key, _Value] = field(repr=False)

    def replace(self, content: Mapping[_Key, _Value]) -> None:
        """Have this content from now on."""
        self._content = content

    @override
    def __getitem__(self, key: _Key) -> _Value:
        return self._content[key]

    @override
    def __iter__(self) -> Iterator[_Key]:
        return iter(self._content)

    @override
    def __len__(self) -> int:
        return len(self._content)
