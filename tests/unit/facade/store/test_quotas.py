"""A quota that is of little use, or other than the neighbours', is told of when a facade starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from facade.store.layout import Layout
from facade.store.quotas import MIN_USEFUL_BYTES, QuotaMark

Told = Callable[[], list[tuple[str, int, str]]]
GIB = 1024**3


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Told:
    """Return event, limit and reason of each warning since it was asked last."""

    def lines() -> list[tuple[str, int, str]]:
        said: list[dict[str, Any]] = [
            orjson.loads(each) for each in capfd.readouterr().err.split("\n") if each
        ]
        return [(each["event"], each["limit"], each["reason"]) for each in said]

    return lines


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty store."""
    layout = Layout(tmp_path / "cache")
    layout.prepare()
    return layout


@pytest.mark.parametrize("limit", [1, MIN_USEFUL_BYTES - 1])
def test_a_store_that_holds_next_to_nothing_is_told_of(
    layout: Layout, told: Told, limit: int
) -> None:
    """With why."""
    QuotaMark.set(layout, limit).close()
    ((event, said, reason),) = told()
    assert (event, said) == ("store is small", limit)
    assert "fetched from the registry by each device again" in reason
    QuotaMark.set(layout, MIN_USEFUL_BYTES).close()
    assert told() == []


def test_processes_of_one_store_with_different_quotas_are_told_of(
    layout: Layout, told: Told
) -> None:
    """While the other one lives; one that is gone, or has the same, is nothing to tell."""
    first, same = QuotaMark.set(layout, GIB), QuotaMark.set(layout, GIB)
    assert told() == []
    QuotaMark.set(layout, 2 * GIB).close()
    ((event, limit, reason),) = told()
    assert (event, limit) == ("quotas differ", 2 * GIB)
    assert f"keeps {GIB} bytes" in reason
    first.close()
    same.close()
    QuotaMark.set(layout, 3 * GIB).close()
    assert told() == []


def test_what_is_no_mark_is_not_believed(layout: Layout, told: Told, tmp_path: Path) -> None:
    """Somebody else's file or link keeps no facade from starting."""
    (layout.root / "much.quota.lock").touch(mode=0o600)
    (layout.root / f"{GIB}.quota.lock").symlink_to(tmp_path / "elsewhere")
    mark = QuotaMark.set(layout, GIB)
    mark.close()
    mark.close()
    assert told() == []
    assert not (tmp_path / "elsewhere").exists()
