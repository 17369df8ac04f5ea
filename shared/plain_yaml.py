"""YAML as JSON has it: no anchors and no aliases, each name of a mapping once, bounded in depth.

JSON is YAML, and is read as well. An alias would let a short text grow as it is read, and of a name
that stands twice one place would silently win.
"""

from collections import Counter

import yaml
from typing_extensions import override

from shared.outside_bytes import Party, reads_bytes_of
from shared.safe_message import SafeMessage


class PlainYamlError(SafeMessage, ValueError):
    """The text is not such YAML; the message says why and quotes nothing of it."""


class _Loader(yaml.CSafeLoader):
    """A safe loader that takes each name of a mapping once."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """Return a mapping; raise `PlainYamlError` if a name is given more than once."""
        names = Counter(name.value for name, _ in node.value if isinstance(name.value, str))
        if any(count > 1 for count in names.values()):
            raise PlainYamlError("a name is given more than once")
        return super().construct_mapping(node, deep)


@reads_bytes_of(Party.FILE)
def read_plain_yaml(content: bytes, *, max_bytes: int, max_depth: int) -> object:
    """Return what a file holds; raise `PlainYamlError`. `max_depth`: lists and mappings nested."""
    if len(content) > max_bytes:
        raise PlainYamlError(f"it is longer than {max_bytes} bytes")
    try:
        text = content.decode()
        _require_plain(text, max_depth)
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader, and stricter
    except PlainYamlError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        where = _line_of(error)
        raise PlainYamlError(f"it is neither YAML nor JSON in UTF-8{where}") from None


def _require_plain(text: str, max_depth: int) -> None:
    """Raise `PlainYamlError` before anything is made of a text that would grow as it is read."""
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise PlainYamlError("it has an anchor or an alias, which are not read here")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > max_depth:
            raise PlainYamlError("it is nested too deep")


def _line_of(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f": see line {mark.line + 1}" if mark is not None else ""
