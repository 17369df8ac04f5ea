"""What each row guards, and what is done to the product to see the row fail.

    @bounds("shared.upstream.framing.MAX_HEADS_BYTES")
    @check("facade/arrivals/filling.py", "self._widening.doubt()", "pass")
    async def test_a_registry_that_...

They stand above a row, or among the marks of one of its kinds. `broken.py` raises the bounds and
replaces the texts in a copy of the product.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Self

import pytest
from attrs import frozen

TIMES: Final = 1000  # that a bound is raised
BOUNDS: Final = "bounds: what the row guards, by the names of docs/bounds"
CHECK: Final = "check: what the row guards, as a text of the product and what stands there without"
NOTHING: Final = "guards_nothing: why the row cannot fail by a bound of the product"


def bounds(*names: str) -> pytest.MarkDecorator:
    """Return the mark of a row that fails if these bounds, `module.NAME`, are raised together."""
    return pytest.mark.bounds(*names)


def check(path: str, is_there: str, is_broken: str) -> pytest.MarkDecorator:
    """Return the mark of a row that fails if a text, which a file has once, is replaced."""
    return pytest.mark.check(path, is_there, is_broken)


def guards_nothing(why: str) -> pytest.MarkDecorator:
    """Return the mark of a row that shows what something costs, and has no bound to itself."""
    return pytest.mark.guards_nothing(why)


@frozen
class Break:
    """What is broken together."""

    raised: frozenset[str]  # `module.NAME`
    replaced: frozenset[tuple[str, str, str]]  # path, what stands there once, and then

    @classmethod
    def of(cls, row: pytest.Item) -> Self:
        """Return what breaks a row; nothing if it says nothing."""
        names = [name for mark in row.iter_markers("bounds") for name in mark.args]
        texts = [mark.args for mark in row.iter_markers("check")]
        return cls(frozenset(names), frozenset(texts))

    def __bool__(self) -> bool:
        """Tell whether anything is broken."""
        return bool(self.raised or self.replaced)

    @property
    def paths(self) -> set[str]:
        """The files that change."""
        return {_path_of(bound) for bound in self.raised} | {path for path, _, _ in self.replaced}

    def applied(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Return files' texts as they are when it is broken; raise `ValueError` if it fits none."""
        broken = dict(texts)
        for bound in self.raised:
            path, name = _path_of(bound), bound.rpartition(".")[2]
            broken[path] = _raised(name, broken[path])
        for path, is_there, is_broken in self.replaced:
            _require_once(is_there, broken[path].count(is_there))
            broken[path] = broken[path].replace(is_there, is_broken)
        return broken


def breaks_of(rows: Iterable[pytest.Item]) -> dict[Break, list[str]]:
    """Return what is broken together, each with the rows that must fail then."""
    found: dict[Break, list[str]] = {}
    for row in rows:
        if what := Break.of(row):
            found.setdefault(what, []).append(row.nodeid)
    return found


def _path_of(bound: str) -> str:
    return bound.rpartition(".")[0].replace(".", "/") + ".py"


def _raised(name: str, text: str) -> str:
    """Raise a constant, or the default of a setting, which is a field of a class."""
    pattern = rf"^((?:    )?{name}(?:: [^=\n]*)? = )"
    found, count = re.subn(pattern, rf"\g<1>{TIMES} * ", text, flags=re.MULTILINE)
    _require_once(name, count)
    return found


def _require_once(what: str, count: int) -> None:
    if count != 1:
        raise ValueError(f"{what!r} stands {count} times")
