"""Reads the files of `-f`: each is a layer; the files of one folder are one layer together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from attrs import frozen

from control_plane.commands.given_file import GivenFile
from control_plane.connections.fields import certificates_alone
from control_plane.declared.declared_set import (
    DeclaredConnection,
    DeclaredSet,
    ReadText,
    declared_set,
)
from control_plane.declared.field_names import REFERENCES
from control_plane.declared.file_problems import ValueWay, WrongFilesError, nearest_place
from control_plane.declared.layers import Layer, layer_of, overlaid
from control_plane.declared.source_files import SUFFIXES, read_source
from control_plane.declared.yaml_reading import MAX_FILE_BYTES, SourceDocument
from shared.bounded_file import read_bounded
from shared.unreadable_file import why_unreadable

MAX_LAYERS: Final = 16  # a base, and what an environment, a region and a site say of their own
MAX_FOLDER_FILES: Final = 1000
MAX_ALL_BYTES: Final = 32 * 1024 * 1024  # of all files; 10,000 connections take 3 MB
MAX_CERTIFICATE_BYTES: Final = 1024 * 1024  # some twenty certificates, and the text between them
STDIN: Final = "-"


@frozen
class DeclaredFiles:
    """What all files want, and where each value stands."""

    wanted: DeclaredSet
    layer: Layer

    def folder_of(self, connection: DeclaredConnection) -> Path:
        """Return the folder of the file that says where a connection's secret is."""
        for name in REFERENCES.values():
            for source in ("file", "command"):
                way = (*connection.place_in_files, name, source)
                if way in self.layer.places:
                    return _folder_of(self.layer, way)
        return _folder_of(self.layer, connection.place_in_files)


def read_declared_files(paths: Sequence[str]) -> DeclaredFiles:
    """Return what the files want; raise `click.UsageError` with everything that is wrong."""
    if len(paths) > MAX_LAYERS:
        raise click.UsageError(f"expected at most {MAX_LAYERS} -f")
    if list(paths).count(STDIN) > 1:
        raise click.UsageError("standard input can be read once")
    reader = _Reader()
    try:
        layer = overlaid([reader.layer(path) for path in paths])
        return DeclaredFiles(declared_set(layer, _certificate_reader(layer)), layer)
    except WrongFilesError as error:
        raise click.UsageError(f"the files are wrong:\n{error}") from None


class _Reader:
    """Reads files, all of them together within a bound."""

    def __init__(self) -> None:
        self._remaining = MAX_ALL_BYTES

    def layer(self, path: str) -> Layer:
        if path == STDIN:
            content = GivenFile.standard_input().read(MAX_FILE_BYTES + 1)
            return layer_of("standard input", read_source(STDIN, content))
        place = Path(path)
        try:
            files = _files_of(place) if place.is_dir() else [place]
        except OSError as error:
            raise click.UsageError(f"{place}: {why_unreadable(error)}") from None
        return layer_of(path, [part for file in files for part in self._documents(file)])

    def _documents(self, file: Path) -> list[SourceDocument]:
        try:
            content = read_bounded(file, min(MAX_FILE_BYTES, self._remaining))
        except OSError as error:
            raise click.UsageError(f"{file}: {why_unreadable(error)}") from None
        self._remaining -= len(content)
        return read_source(str(file), content)


def _files_of(folder: Path) -> list[Path]:
    """Return a folder's own files, by name; those of folders in it are not read."""
    files = sorted(
        each for each in folder.iterdir() if each.suffix in SUFFIXES and not each.is_dir()
    )
    if not files:
        raise click.UsageError(f"{folder} has no file that ends in {', '.join(SUFFIXES)}")
    if len(files) > MAX_FOLDER_FILES:
        raise click.UsageError(f"{folder} has more than {MAX_FOLDER_FILES} files")
    return files


def _certificate_reader(layer: Layer) -> ReadText:
    def read(way: ValueWay, path: str) -> str:
        try:
            content = read_bounded(_folder_of(layer, way) / path, MAX_CERTIFICATE_BYTES)
        except OSError as error:
            raise ValueError(why_unreadable(error)) from None
        return certificates_alone(content)

    return read


def _folder_of(layer: Layer, way: ValueWay) -> Path:
    """Return the folder of the file that a value stands in; of standard input, this one."""
    return Path(nearest_place(layer.places, way).file).parent
