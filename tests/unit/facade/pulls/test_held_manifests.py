"""What is held in memory for a device is bounded in bytes, for each device by itself."""

from contextlib import ExitStack

import pytest

from facade.pulls.held_manifests import HeldManifests, TooMuchHeldError


def test_a_device_holds_so_much_and_no_more() -> None:
    """Until it has read some of it; another device is not refused for it."""
    held = HeldManifests(max_bytes=10)
    with ExitStack() as stack:
        stack.enter_context(held.hold("device", 4))
        with held.hold("device", 6), pytest.raises(TooMuchHeldError), held.hold("device", 1):
            pass
        stack.enter_context(held.hold("device", 6))
        with held.hold("other", 10):
            pass
    with held.hold("device", 10):
        pass


def test_what_is_refused_or_fails_is_not_counted() -> None:
    """Else a device that was cut would be refused for ever."""
    held = HeldManifests(max_bytes=10)
    for _ in range(3):
        with pytest.raises(TooMuchHeldError), held.hold("device", 11):
            pass
        with pytest.raises(ConnectionError), held.hold("device", 10):
            raise ConnectionError
