"""What the tests of providers share: accounts, and what everybody can read of an error."""

import pytest

from tests.support.simulators.google import ServiceAccount


@pytest.fixture(scope="session")
def account() -> ServiceAccount:
    """A service account; making its key takes a while."""
    return ServiceAccount.create()
