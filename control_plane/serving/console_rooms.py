"""The rooms of the console, each with the use cases that it calls."""

from collections.abc import Sequence

from control_plane.console.overview import OverviewPages
from control_plane.console.page import Room


def console_rooms() -> Sequence[Room]:
    """Return the rooms."""
    return (OverviewPages(),)
