"""What another room adds to the console: pages, and forms that stand on them.

A page and a form each name the operation of the API whose role they need. Handlers call the same
use cases as the API's, and raise the same errors; `console.py` shows those in words.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from attrs import field, frozen

from control_plane.console.local_path import ROOT
from control_plane.console.notices import Notice
from control_plane.console.submission import FormState, Submission
from control_plane.console.visit import Visit
from control_plane.http.operation import OperatorsOperation


class ConsoleSection(Enum):
    """What the navigation lists, in its order: a title, and the path of the section's page."""

    OVERVIEW = "Overview", ""
    CONNECTIONS = "Connections", "connections"
    APPROVE = "Approve", "approve"
    DEVICES = "Devices", "devices"
    AUDIT = "Audit", "audit"
    OPERATORS = "Operators", "operators"
    ME = "Me", "me"

    @property
    def title(self) -> str:
        """What the link says."""
        return self.value[0]

    @property
    def path(self) -> str:
        """The path of its page, below `/console/`."""
        return self.value[1]

    @property
    def url(self) -> str:
        """Where the link leads."""
        return f"{ROOT}{self.path}"


@frozen
class PageView:
    """A page to show: a template of `templates/`, the page's title, and what the template uses."""

    template: str
    title: str
    context: Mapping[str, object] = field(factory=dict, repr=False)  # a new token may be in it
    status: HTTPStatus = HTTPStatus.OK


@frozen
class Done:
    """The end of a form that did what it should: the browser goes on to a page, which says so."""

    url: str
    notice: Notice | None = None


@frozen
class StreamedAnswer:
    """What the page's own script is told as it happens: one JSON object a line."""

    lines: AsyncIterator[Mapping[str, object]] = field(repr=False)


@frozen
class FormShownAgain:
    """The form as it was sent, though nothing was refused, with more that the template uses."""

    state: FormState
    context: Mapping[str, object] = field(factory=dict, repr=False)


Show = Callable[[Visit], Awaitable[PageView]]
Submit = Callable[[Visit, Submission], Awaitable[PageView | Done | StreamedAnswer | FormShownAgain]]


@frozen(kw_only=True)
class ConsolePage:
    """A page: `show` answers GET. The path is below `/console/`, and may have `{id}` in it."""

    path: str
    operation: OperatorsOperation
    section: ConsoleSection | None
    show: Show

    @property
    def url(self) -> str:
        """The whole path."""
        return f"{ROOT}{self.path}"


@frozen(kw_only=True)
class ConsoleForm:
    """A form: `submit` answers POST. If it is refused, `page` shows it again, with the reasons.

    `name` is what the templates call it. Fields in `secrets` are never shown again.
    """

    path: str
    name: str
    operation: OperatorsOperation
    page: ConsolePage
    submit: Submit
    secrets: frozenset[str] = frozenset()

    @property
    def url(self) -> str:
        """The whole path."""
        return f"{ROOT}{self.path}"


@frozen(kw_only=True)
class ConsoleDownload:
    """A file that a page links to: `send` answers GET, for whoever may do the operation."""

    path: str
    operation: OperatorsOperation
    send: Callable[[Visit], Awaitable[web.Response]]

    @property
    def url(self) -> str:
        """The whole path."""
        return f"{ROOT}{self.path}"


class Room(Protocol):
    """Pages and forms that belong together."""

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the pages."""

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return the forms."""
