"""Facades of a module that keep what they fetch, and those that are tried with and without a store.

A module imports one of the fixtures, as its `facade_settings`.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest


def store_settings(cache: Path, size: str = "1GiB") -> dict[str, str]:
    """Return the settings of a store."""
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": size}


@pytest.fixture(scope="module")
def stored(cache: Path) -> Mapping[str, str]:
    """A facade that keeps what it fetches."""
    return store_settings(cache)


@pytest.fixture(scope="module", params=["streamed", "stored"])
def streamed_and_stored(request: pytest.FixtureRequest, cache: Path) -> Mapping[str, str]:
    """Once without a store, once with one: what is never to be seen is the same."""
    return {} if request.param == "streamed" else store_settings(cache)
