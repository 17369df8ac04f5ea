"""Pages as HTML: the templates, and what each of them is given."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from http import HTTPStatus
from importlib.resources import files

import aiohttp_jinja2
import orjson
from aiohttp import hdrs, web
from attrs import frozen
from jinja2 import DictLoader, StrictUndefined
from markupsafe import Markup

from control_plane.console.notices import PARAMETER, notice_of
from control_plane.console.page import ConsolePage, ConsoleSection, PageView
from control_plane.console.security_headers import PAGE_HEADERS
from control_plane.console.static_files import StaticFiles
from control_plane.console.submission import FormState
from control_plane.console.visit import Visit
from control_plane.http.operation import JSON_LINES
from shared.canonical_json import format_time


@frozen
class Rendering:
    """Makes answers of views."""

    files: StaticFiles
    pages: Mapping[ConsoleSection, ConsolePage]  # which the navigation leads to

    def set_up(self, app: web.Application) -> None:
        """Read the templates, which are compiled when they are used first. Blocks."""
        folder = files("control_plane.console").joinpath("templates")
        texts = {each.name: each.read_text("utf-8") for each in folder.iterdir()}
        environment = aiohttp_jinja2.setup(
            app,
            loader=DictLoader(texts),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals["static"] = self.files.url
        environment.filters["time"] = time_element
        environment.filters["called"] = called

    def of_visit(
        self, view: PageView, visit: Visit, section: ConsoleSection | None
    ) -> web.Response:
        """Return a page for whoever is signed in."""
        role = visit.operator.role
        return self._response(
            view,
            visit.request,
            {
                "operator": visit.operator,
                "form_token": visit.session.form_token,
                "form": visit.form,
                "sections": [
                    each
                    for each in ConsoleSection
                    if each in self.pages and self.pages[each].operation.allows(role)
                ],
                "section": section,
            },
        )

    def of_visitor(
        self, view: PageView, request: web.Request, form_token: str = ""
    ) -> web.Response:
        """Return a page for whoever is not signed in."""
        nobody: dict[str, object] = {"operator": None, "sections": (), "section": None}
        form = FormState()
        return self._response(
            view, request, nobody | {"form_token": form_token, "form": lambda _name: form}
        )

    def _response(
        self, view: PageView, request: web.Request, around: Mapping[str, object]
    ) -> web.Response:
        notice = (
            notice_of(request.query.get(PARAMETER)) if request.method == hdrs.METH_GET else None
        )
        response = aiohttp_jinja2.render_template(
            view.template,
            request,
            {"title": view.title, "notice": notice and notice.value, **around, **view.context},
            status=view.status,
        )
        response.headers.update(PAGE_HEADERS)
        return response


def called(name: str | None, names: Mapping[str, str]) -> str | None:
    """Return what people call a person of single sign-on; an operator is called by their name."""
    return None if name is None else names.get(name, name)


def time_element(moment: datetime | str | None) -> Markup:
    """Return a time in UTC as HTML; the script shows the reader's own zone beside it."""
    if moment is None:
        return Markup('<span class="none">—</span>')
    text = moment if isinstance(moment, str) else format_time(moment)
    shown = f"{text[:10]} {text[11:16]} UTC"
    return Markup('<time datetime="{}">{}</time>').format(text, shown)


def stream_of(lines: AsyncIterator[Mapping[str, object]]) -> web.Response:
    """Return what a script of ours is told as it happens: each line leaves at once."""

    async def encoded() -> AsyncIterator[bytes]:
        async for each in lines:
            yield orjson.dumps(each) + b"\n"

    return web.Response(body=encoded(), content_type=JSON_LINES, headers=PAGE_HEADERS)


def see_other(url: str) -> web.Response:
    """Send the browser to another page, after a form or to the sign-in."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={**PAGE_HEADERS, hdrs.LOCATION: url})
