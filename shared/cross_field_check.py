"""What is wrong between fields of settings, as far as those fields could be read.

    @frozen(kw_only=True)
    class Settings:
        drain_delay: Duration = 0.0
        drain_timeout: Duration = 30.0

        @CrossFieldCheck
        def _delay_is_a_part(self) -> Iterator[FieldProblem]:
            if self.drain_delay > self.drain_timeout:
                yield "drain_delay", "no longer than FACADE_DRAIN_TIMEOUT"

Each check asks one question, so that it says what it can whatever else is wrong.
"""

from collections.abc import Callable, Iterator
from typing import Any

import attrs
from attrs import AttrsInstance, frozen

FieldProblem = tuple[str, str]  # the field's name, and what is expected of it


@frozen
class CrossFieldCheck:
    """Makes a method of a settings class a check, which the classes made from it have too."""

    find: Callable[[Any], Iterator[FieldProblem]]


def cross_field_problems(settings: AttrsInstance) -> Iterator[FieldProblem]:
    """Yield what the checks find; a check ends where it reads a field that is not set."""
    fields = attrs.fields_dict(type(settings))
    for cls in reversed(type(settings).__mro__):
        for check in vars(cls).values():
            if not isinstance(check, CrossFieldCheck):
                continue
            try:
                yield from check.find(settings)
            except AttributeError as error:
                if error.obj is not settings or error.name not in fields:
                    raise


def is_given(settings: AttrsInstance, field: str) -> bool:
    """Tell whether a field that is None by default has a value, also one that cannot be read."""
    return getattr(settings, field, True) is not None
