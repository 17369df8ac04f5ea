"""Overview: the first page."""

from attrs import frozen

from control_plane.connections import operations
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, PageView
from control_plane.console.visit import Visit


@frozen
class OverviewPages:
    """The page that an operator begins at."""

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the page."""
        return (
            ConsolePage(
                path=ConsoleSection.OVERVIEW.path,
                operation=operations.LIST,
                section=ConsoleSection.OVERVIEW,
                show=self.show,
            ),
        )

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return nothing: it only shows."""
        return ()

    async def show(self, visit: Visit) -> PageView:
        """Show who is signed in."""
        visit.query().finish()
        return PageView("overview.html", "Overview", {"session": visit.session})
