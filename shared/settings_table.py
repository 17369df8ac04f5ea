"""Every setting of a process as a table: for `settings`, and for the document made from it.

The classes that the environment is read into say what is required and what the defaults are. Only
what a setting is for is written by hand, beside them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import orjson
import yaml
from attrs import asdict, frozen
from typed_settings.types import OptionInfo

from shared.environment import form_of_option, options_of

_GAP: Final = "  "


@frozen
class Meaning:
    """What a setting is for. `default` explains a default whose value does not say enough."""

    text: str
    default: str | None = None


@frozen
class SettingRow:
    """One variable. `default` None: it is required by `required_by`."""

    variable: str
    required_by: tuple[str, ...]  # the commands that do not run without it
    default: str | None
    is_literal: bool  # the default is a text that the variable may hold; otherwise it is words
    expected: str  # completes the sentence "expected ..."
    meaning: str


def setting_rows(
    prefix: str, commands: Mapping[str, type], meanings: Mapping[str, Meaning]
) -> list[SettingRow]:
    """Return a row for each variable, in the order of `meanings`.

    `commands`: the class that each command reads. Raises `KeyError` for a meaning without a
    setting, and for a setting without a meaning.
    """
    options: dict[str, dict[str, OptionInfo]] = {}
    for command, cls in commands.items():
        for option in options_of(cls):
            options.setdefault(option.path, {})[command] = option
    if missing := options.keys() - meanings.keys():
        raise KeyError(*sorted(missing))
    return [_row(prefix, name, options[name], meaning) for name, meaning in meanings.items()]


def as_text(rows: Sequence[SettingRow]) -> Iterator[str]:
    """Yield a header and a line for each variable, in columns."""
    cells = [("VARIABLE", "DEFAULT", "MEANING")]
    cells += [(row.variable, _default(row), f"{row.meaning} ({row.expected})") for row in rows]
    variable, default = (max(len(line[at]) for line in cells) for at in (0, 1))
    for line in cells:
        yield f"{line[0]:{variable}}{_GAP}{line[1]:{default}}{_GAP}{line[2]}"


def as_markdown(rows: Iterable[SettingRow]) -> Iterator[str]:
    """Yield the lines of a table of Markdown."""
    yield "| variable | default | what it is for |"
    yield "|---|---|---|"
    for row in rows:
        default = f"`{row.default}`" if row.is_literal else _default(row)
        yield f"| `{row.variable}` | {default} | {row.meaning}. Expected: {row.expected}. |"


def as_json(rows: Iterable[SettingRow]) -> str:
    """Return a JSON array of objects."""
    return orjson.dumps([asdict(row) for row in rows], option=orjson.OPT_INDENT_2).decode()


def as_yaml(rows: Iterable[SettingRow]) -> str:
    """Return the same as YAML."""
    return yaml.safe_dump(orjson.loads(as_json(rows)), sort_keys=False, allow_unicode=True)


def _row(
    prefix: str, name: str, by_command: Mapping[str, OptionInfo], meaning: Meaning
) -> SettingRow:
    option = next(iter(by_command.values()))
    requiring = [command for command, each in by_command.items() if each.has_no_default]
    form = form_of_option(option)
    default = None if requiring else meaning.default or form.written(option.default)
    return SettingRow(
        variable=f"{prefix}_{name.upper()}",
        required_by=tuple(requiring),
        default=default,
        is_literal=default is not None and meaning.default is None,
        expected=form.expected,
        meaning=meaning.text,
    )


def _default(row: SettingRow) -> str:
    return row.default if row.default is not None else f"required by {', '.join(row.required_by)}"
