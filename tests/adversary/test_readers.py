"""What reads bytes from outside is attacked: the marks, the table and the tests agree."""

import ast
import importlib
import pkgutil
from pathlib import Path

import control_plane
import facade
import shared
from shared.outside_bytes import MARK, Party
from tests.adversary.readers import LIBRARY_READERS, OWN_READERS

TESTS = Path(__file__).parents[1]
NOT_IMPORTED = {"facade.__main__", "control_plane.__main__", "control_plane.migrations.env"}


def _readers_of(namespace: object) -> dict[str, frozenset[Party]]:
    """Return the marked functions of a module or class by their qualified names."""
    found: dict[str, frozenset[Party]] = {}
    for value in list(vars(namespace).values()):
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if parties := getattr(function, MARK, None):
            found[f"{function.__module__}.{function.__qualname__}"] = parties
        elif isinstance(value, type) and value.__module__ == getattr(namespace, "__name__", None):
            found |= _readers_of(value)
    return found


def _marked() -> dict[str, frozenset[Party]]:
    found: dict[str, frozenset[Party]] = {}
    for package in (control_plane, facade, shared):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name in NOT_IMPORTED or ".revisions." in module.name:
                continue
            found |= _readers_of(importlib.import_module(module.name))
    return found


MARKED = _marked()


def _test_named(named: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    path, _, name = named.partition("::")
    tree = ast.parse((TESTS / path).read_text())
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    assert found, f"no test {named}"
    return found[0]


def _decorators(test: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {
        ast.unparse(each.func if isinstance(each, ast.Call) else each)
        for each in test.decorator_list
    }


def test_each_marked_reader_is_in_the_table_and_no_other() -> None:
    """A new parser without an attack fails here."""
    assert sorted(OWN_READERS) == sorted(MARKED)


def test_each_reader_has_a_property_test() -> None:
    """Which gives it anything."""
    for tested in OWN_READERS.values():
        assert _decorators(_test_named(tested.property_test)) & {"given", "hypothesis.given"}


def test_each_reader_is_attacked_in_a_running_process() -> None:
    """A parser that is right alone may still be called on the loop, or without its bound."""
    for tested in OWN_READERS.values():
        _test_named(tested.attack)


def test_the_bounds_of_libraries_readers_are_on_a_page() -> None:
    """Which another test compares with the code."""
    page = "".join(path.read_text() for path in (TESTS.parent / "docs" / "bounds").glob("*.md"))
    for reader in LIBRARY_READERS:
        assert all(f"`{bound}`" in page for bound in reader.bounded_by), reader.parser


def test_each_party_is_read_by_somebody() -> None:
    """A party that nobody lists was forgotten."""
    listed = {party for parties in MARKED.values() for party in parties}
    listed |= {party for reader in LIBRARY_READERS for party in reader.parties}
    assert listed == set(Party)
