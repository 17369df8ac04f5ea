"""`--json` and `--yaml`: a result for programs, in place of words for people."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import click
import orjson

from shared.yaml_text import yaml_text

_Command = TypeVar("_Command", bound=Callable[..., Any])


class OutputForm(StrEnum):
    """In which form a program reads a result."""

    JSON = "json"
    YAML = "yaml"

    def text(self, value: object) -> str:
        """Return a value as the API has it: JSON on one line, or YAML's lines."""
        as_json = orjson.dumps(value)
        if self is OutputForm.YAML:
            return yaml_text(orjson.loads(as_json)).rstrip("\n")
        return as_json.decode()


def output_form(function: _Command, *, json: str = "Print JSON, as the API has it.") -> _Command:
    """Give a command both options; it is called with `form`, None for words."""
    for form, words in ((OutputForm.YAML, "Print the same as YAML."), (OutputForm.JSON, json)):
        option = click.option(
            f"--{form}", "form", flag_value=form, type=click.UNPROCESSED, default=None, help=words
        )
        function = option(function)
    return function
