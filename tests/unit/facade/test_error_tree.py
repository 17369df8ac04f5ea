"""One tree of errors: what this process raises itself, beside the one of what registries do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from facade.answers.distribution_errors import UNSUPPORTED_ROUTE
from facade.arrivals.announcing import (
    AnotherGoesFirstError,
    MayBeStoredError,
    NothingArrivesError,
)
from facade.arrivals.arrival import ArrivalEndedError
from facade.errors import PullError
from facade.pulls.failure_answers import answer_to
from shared.oci import Kind
from shared.upstream.errors import Step, UpstreamError

REPOSITORY = Path(__file__).resolve().parents[3]
# Of the facade, of registries, and of secrets that do not open, for both processes.
ROOTS = {"FacadeError", "UpstreamError", "SealedSecretError"}
# Says nothing of a registry, so its answer is the one of what nobody foresaw.
INTERRUPTED = (
    AnotherGoesFirstError,
    ArrivalEndedError,
    MayBeStoredError,
    NothingArrivesError,
)


def bases_of_errors(*folders: Path) -> dict[str, set[str]]:
    """Return the names of the bases of every class whose name ends as an error's does."""
    return {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }


def is_in_the_tree(name: str, bases: dict[str, set[str]]) -> bool:
    """Tell whether a class is a root, or below one."""
    return name in ROOTS or any(is_in_the_tree(base, bases) for base in bases.get(name, ()))


def below(*kinds: type[Exception]) -> Iterator[type[Exception]]:
    """Yield these classes of the product, and all below them."""
    for kind in kinds:
        if kind.__module__.startswith(("facade.", "shared.")):
            yield kind
            yield from below(*kind.__subclasses__())


def test_every_error_of_the_facade_is_in_the_tree() -> None:
    """Whoever looks for what may be raised finds it from the root down."""
    bases = bases_of_errors(REPOSITORY / "facade", REPOSITORY / "shared")
    of_facade = bases_of_errors(REPOSITORY / "facade")
    assert len(of_facade) > 40
    assert [name for name in of_facade if not is_in_the_tree(name, bases)] == []


def test_an_error_outside_of_the_tree_is_found(tmp_path: Path) -> None:
    """A check that finds nothing would prove nothing."""
    (tmp_path / "one.py").write_text("class LostError(Exception):\n    pass\n")
    bases = bases_of_errors(tmp_path)
    assert [name for name in bases if not is_in_the_tree(name, bases)] == ["LostError"]


@pytest.mark.parametrize(
    "kind",
    sorted(set(below(PullError, UpstreamError)) - {PullError}, key=str),
    ids=lambda kind: kind.__name__,
)
def test_whatever_ends_a_pull_has_its_answer(kind: type[Exception]) -> None:
    """Only what says nothing of a registry is told as what nobody foresaw."""
    failure = kind.__new__(kind)
    failure.__dict__.update(retry_after=1.0, step=Step.REQUEST, length=1, answer=UNSUPPORTED_ROUTE)
    is_interrupted = answer_to(failure, Kind.BLOB) == answer_to(None, Kind.BLOB)
    assert is_interrupted is issubclass(kind, INTERRUPTED)
