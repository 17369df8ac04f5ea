"""YAML as our files have it: JSON's values, and texts without quotes. Pure.

Other readers make numbers, dates and switches of texts (`no`, `1.10`, `2026-11-01`, `1:30`). Here
every value without quotes is a text, but for true, false and null. There are no aliases (a few
lines of them unfold into gigabytes), no tags, and no name twice in one mapping.
"""

from collections.abc import Iterator
from typing import Final

import yaml
from attrs import define, field, frozen
from yaml import events

from control_plane.declared.file_problems import FilePlace, FileProblem, ValueWay, WrongFilesError
from shared.outside_bytes import Party, reads_bytes_of

MAX_FILE_BYTES: Final = 8 * 1024 * 1024  # some 10,000 connections
MAX_DEPTH: Final = 16  # of mappings and lists in one another; ours have five
MAX_DOCUMENTS: Final = 1000  # in one file, between lines of `---`

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_SWITCHES: Final = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# libyaml is ten times as fast; without it the same events come from Python.
FASTEST_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@frozen
class SourceDocument:
    """A document of a file: its value, and where each part of it stands."""

    value: object
    places: dict[ValueWay, FilePlace]


@reads_bytes_of(Party.OPERATOR)
def read_yaml(
    name: str, content: bytes, loader: type[yaml.SafeLoader] = FASTEST_LOADER
) -> list[SourceDocument]:
    """Return the documents of a file; raise `WrongFilesError` with all that is wrong."""
    whole = FilePlace(name)
    if len(content) > MAX_FILE_BYTES:
        raise WrongFilesError([FileProblem(whole, (), f"longer than {MAX_FILE_BYTES} bytes")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongFilesError([FileProblem(whole, (), "expected UTF-8 text")]) from None
    try:
        return [*_documents(name, yaml.parse(text, Loader=loader))]
    except yaml.YAMLError as error:
        raise WrongFilesError([_unreadable(name, error)]) from None


def _documents(name: str, found: Iterator[events.Event]) -> Iterator[SourceDocument]:
    problems, count = list[FileProblem](), 0
    for event in found:
        if not isinstance(event, events.DocumentStartEvent):
            continue
        count += 1
        if count > MAX_DOCUMENTS:
            raise WrongFilesError(
                [FileProblem(FilePlace(name), (), f"more than {MAX_DOCUMENTS} documents")]
            )
        reader = _DocumentReader(name, found, problems)
        value = reader.value(next(found), ())
        if value is not None:
            yield SourceDocument(value, reader.places)
    if problems:
        raise WrongFilesError(problems)


@define
class _DocumentReader:
    """Makes a value of the events of one document."""

    file: str
    stream: Iterator[events.Event]
    problems: list[FileProblem]
    places: dict[ValueWay, FilePlace] = field(factory=dict)

    def value(self, event: events.Event, way: ValueWay) -> object:
        """Return the value that begins with an event."""
        self.places.setdefault(way, self._place(event))
        if isinstance(event, events.AliasEvent):
            self._wrong(event, way, "an alias (*) is not read: write it out, or use an overlay")
            return None
        if getattr(event, "anchor", None) is not None:
            self._wrong(event, way, "an anchor (&) is not read: write it out, or use an overlay")
        if getattr(event, "tag", None) is not None:
            self._wrong(event, way, "a tag (!) is not read")
        if len(way) > MAX_DEPTH:
            raise WrongFilesError([self._problem(event, way[:1], f"deeper than {MAX_DEPTH}")])
        match event:
            case events.MappingStartEvent():
                return self._mapping(way)
            case events.SequenceStartEvent():
                return self._list(way)
            case events.ScalarEvent(value=text, implicit=(True, _)):
                return None if text in _NULLS else _SWITCHES.get(text, text)
            case _:
                return str(getattr(event, "value", ""))

    def _mapping(self, way: ValueWay) -> dict[str, object]:
        values = dict[str, object]()
        while not isinstance(key := next(self.stream), events.MappingEndEvent):
            if not isinstance(key, events.ScalarEvent):
                raise WrongFilesError([self._problem(key, way, "a name has to be a text")])
            name = str(key.value)
            inner = (*way, name)
            if name in values:
                self._wrong(key, inner, "given more than once")
            self.places[inner] = self._place(key)
            values[name] = self.value(next(self.stream), inner)
        return values

    def _list(self, way: ValueWay) -> list[object]:
        items = list[object]()
        while not isinstance(event := next(self.stream), events.SequenceEndEvent):
            items.append(self.value(event, (*way, str(len(items)))))
        return items

    def _wrong(self, event: events.Event, way: ValueWay, detail: str) -> None:
        self.problems.append(self._problem(event, way, detail))

    def _problem(self, event: events.Event, way: ValueWay, detail: str) -> FileProblem:
        return FileProblem(self._place(event), way, detail)

    def _place(self, event: events.Event) -> FilePlace:
        mark = event.start_mark
        return FilePlace(self.file, mark.line + 1 if mark is not None else None)


def _unreadable(name: str, error: yaml.YAMLError) -> FileProblem:
    """Return where a file stops being YAML; the library's words may quote it, and are left out."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else None
    return FileProblem(FilePlace(name, line), (), "this is no YAML from here on")
