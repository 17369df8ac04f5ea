"""An answer of the API as far as a command reads it: each of those fields is there, of its type.

Another service may answer where the control plane is thought to be. What a command does not read is
not looked at: a newer control plane says more. Pure.
"""

from types import NoneType, UnionType
from typing import Any, Final, TypeVar, cast, get_args, get_origin, is_typeddict

import cattrs
from cattrs import Converter
from cattrs.cols import list_structure_factory

_Answer = TypeVar("_Answer")
_WORDS: Final[dict[Any, str]] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    NoneType: "null",
}


class NotAsExpectedError(ValueError):
    """An answer is not what a command reads; the message says what was expected where."""


def as_expected(answer: object, expected: type[_Answer], where: str = "") -> _Answer:
    """Return the answer as it is, if it has what is read of it; `where`: its place in another.

    `expected` is a class of `answers.py`, or a list of them. Raises `NotAsExpectedError`, which
    quotes nothing of the answer but the names of its fields.
    """
    try:
        _converter.structure(answer, expected)
    except (cattrs.BaseValidationError, TypeError) as error:
        first, *_ = cattrs.transform_error(error, where, format_exception=_expected_words)
        words, _, place = first.partition(" @ ")
        place = place.removeprefix(".")
        raise NotAsExpectedError(f"{words} as `{place}`" if place else words) from None
    return cast(_Answer, answer)


def _expected_words(error: BaseException, kind: object) -> str:
    if kind is None:  # of the whole: cattrs notes the type of a field alone
        kind = list if isinstance(error, _NoListError) else dict
    return f"expected {_words_of(kind)}"


def _words_of(kind: object) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(dict.fromkeys(map(_words_of, get_args(kind))))
    return _WORDS.get(get_origin(kind) or kind, "an object" if is_typeddict(kind) else "a value")


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list


class _NoListError(TypeError):
    """Where a list is wanted there is something else: a text can be iterated, too."""


def _make_converter() -> Converter:
    converter = Converter()

    def exactly(value: object, kind: type) -> object:
        if type(value) is not kind:
            raise TypeError
        return value

    for primitive in (str, int, bool):
        converter.register_structure_hook(primitive, exactly)

    @converter.register_structure_hook_factory(_is_list)
    def listed(kind: Any) -> Any:
        structure_items = list_structure_factory(kind, converter)

        def structure(value: object, _: object) -> object:
            if not isinstance(value, list):
                raise _NoListError
            return structure_items(value, kind)

        return structure

    return converter


_converter: Final = _make_converter()
