"""The rooms of the console, each with the use cases that it calls."""

from collections.abc import Sequence

from control_plane.console.approve import ApprovePages
from control_plane.console.overview import OverviewPages
from control_plane.console.page import Room
from control_plane.serving.use_cases import UseCases


def console_rooms(use_cases: UseCases) -> Sequence[Room]:
    """Return the rooms."""
    return (
        OverviewPages(),
        ApprovePages(use_cases.reviews, use_cases.connections, use_cases.chain.clock),
    )
