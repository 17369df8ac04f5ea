"""Connect: what is pasted is recognised, and there is one form for each kind of login."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import urlencode

from aiohttp import hdrs
from attrs import frozen

from control_plane.connections import operations
from control_plane.connections.acts import Connections
from control_plane.connections.checks import NOT_ASKED, Checks
from control_plane.connections.request import ConnectionRequest, parse_connection_request
from control_plane.connections.service_account_keys import ServiceAccountKeys
from control_plane.console.check_steps import ShownStep, check_steps
from control_plane.console.connection_form import LISTS, SECRETS, last_day_body, secret_body
from control_plane.console.connection_words import PROVIDERS
from control_plane.console.local_path import ROOT
from control_plane.console.notices import Notice
from control_plane.console.page import (
    ConsoleForm,
    ConsolePage,
    ConsoleSection,
    Done,
    FormShownAgain,
    PageView,
    StreamedAnswer,
)
from control_plane.console.recognised_registry import RecognisedRegistry, login_hint, recognise
from control_plane.console.submission import FormState, Submission
from control_plane.console.tried_login import TriedLogin
from control_plane.console.visit import Visit
from control_plane.errors import FieldError, InvalidRequestError, NotFoundError
from control_plane.http.operation import JSON_LINES
from control_plane.metrics import ControlPlaneMetrics
from shared.connection import Provider
from shared.oci import InvalidRepositoryNameError, RepositoryName
from shared.upstream.check import LoginCheck

PASTED: Final = "registry"  # the query's parameter
CONNECT_FORM: Final = "connect"
TRIED_REPOSITORY: Final = "tried_repository"
KINDS: Final = {
    "login": Provider.STATIC,
    "google": Provider.GOOGLE_SERVICE_ACCOUNT,
    "ecr": Provider.AWS_ECR,
}
_KIND_OF: Final = {provider: kind for kind, provider in KINDS.items()}
_TEXTS: Final = ("host", "repository_prefix", "description", "username", "role_arn")


@frozen
class ConnectPages:
    """Where a registry is connected."""

    connections: Connections
    checks: Checks
    keys: ServiceAccountKeys
    metrics: ControlPlaneMetrics

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the page that recognises, and the form of a kind."""
        return self._choice, self._form

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return what connects, and what only tries the login."""
        return (
            ConsoleForm(
                path="connect/{kind}",
                name=CONNECT_FORM,
                operation=operations.CONNECT,
                page=self._form,
                submit=self.connect,
                secrets=SECRETS,
            ),
            ConsoleForm(
                path="connect/{kind}/try",
                name=CONNECT_FORM,
                operation=operations.CHECK,
                page=self._form,
                submit=self.try_login,
                secrets=SECRETS,
            ),
        )

    @property
    def _choice(self) -> ConsolePage:
        return ConsolePage(
            path="connect",
            operation=operations.CONNECT,
            section=ConsoleSection.CONNECTIONS,
            show=self.show_choice,
        )

    @property
    def _form(self) -> ConsolePage:
        return ConsolePage(
            path="connect/{kind}",
            operation=operations.CONNECT,
            section=ConsoleSection.CONNECTIONS,
            show=self.show_form,
        )

    async def show_choice(self, visit: Visit) -> PageView:
        """Show what was recognised, or where to paste it."""
        query = visit.query()
        pasted = query.text(PASTED, str) or ""
        query.finish()
        found: RecognisedRegistry | None = None
        problem = None
        try:
            found = recognise(pasted) if pasted else None
        except ValueError as error:
            problem = str(error)
        return PageView(
            "connect.html",
            "Connect a registry",
            {
                "pasted": pasted,
                "problem": problem,
                "found": found,
                "found_kind": found and PROVIDERS[found.provider],
                "form_url": found and _form_url(found),
            },
        )

    async def show_form(self, visit: Visit) -> PageView:
        """Show the form of a kind, with what was recognised in it."""
        provider = _provider(visit)
        query = visit.query()
        host, repository = (query.text(name, str) or "" for name in ("host", "repository"))
        query.finish()
        state = visit.form(CONNECT_FORM)
        return PageView(
            "connect_form.html",
            f"Connect: {PROVIDERS[provider]}",
            {
                "provider": provider.value,
                "url": visit.request.path.removesuffix("/try"),
                "host": host,
                "repository": repository,
                "login_hint": login_hint(state.value("host", host)),
                "steps": _steps_of(state),
                "is_tried": False,
            },
        )

    async def connect(self, visit: Visit, submission: Submission) -> Done:
        """Store a new connection; the login is tried first, unless that was unticked."""
        request = await self._request(visit, submission)
        check = NOT_ASKED
        if submission.ticked("check"):
            check = await self.checks.require_passed(request, actor=visit.operator)
            self.metrics.checks.labels(check.outcome).inc()
        view = await self.connections.connect(request, check, actor=visit.operator)
        url = f"{ROOT}connections/{view['id']}"
        if _provider(visit) is Provider.STATIC:
            return Done(url, Notice.CONNECTED)
        return Done(f"{url}/grant", Notice.CONNECTED_TO_GRANT)

    async def try_login(
        self, visit: Visit, submission: Submission
    ) -> FormShownAgain | StreamedAnswer:
        """Try a login, and store nothing.

        The page's script is told the steps as they happen; without it, the form is shown again
        with them.
        """
        trial = TriedLogin(
            self.checks,
            await self._request(visit, submission),
            _tried_repository(submission),
            visit.operator,
            self._count,
        )
        if JSON_LINES in visit.request.headers.get(hdrs.ACCEPT, ""):
            return StreamedAnswer(_lines(trial))
        ended = await trial.end()
        state = FormState(submission.kept(SECRETS), problems=ended.problems)
        return FormShownAgain(state, {"steps": ended.steps, "is_tried": True})

    def _count(self, check: LoginCheck) -> None:
        self.metrics.checks.labels(check.outcome.value).inc()

    async def _request(self, visit: Visit, submission: Submission) -> ConnectionRequest:
        """Return what is asked for; it is read in a thread, for certificates take long."""
        body = _body(_provider(visit), submission)
        request = await asyncio.to_thread(parse_connection_request, body)
        await self.keys.require_sound(request, actor=visit.operator.name)
        return request


def _provider(visit: Visit) -> Provider:
    try:
        return KINDS[visit.request.match_info["kind"]]
    except KeyError:
        raise NotFoundError("there is no such kind of login") from None


def _tried_repository(submission: Submission) -> RepositoryName | None:
    """Return the repository that is to be asked for, if one is named."""
    name = submission.text(TRIED_REPOSITORY)
    try:
        return RepositoryName.parse(name) if name else None
    except InvalidRepositoryNameError as error:
        raise InvalidRequestError((FieldError(f"/{TRIED_REPOSITORY}", str(error)),)) from None


async def _lines(trial: TriedLogin) -> AsyncIterator[Mapping[str, object]]:
    async for each in trial.progress():
        yield each.line()


def _steps_of(state: FormState) -> list[ShownStep]:
    if state.check is None:
        return []
    return check_steps(state.check, plain_http=state.ticked("plain_http"))


def _form_url(found: RecognisedRegistry) -> str:
    given = {"host": str(found.host), "repository": found.repository or ""}
    query = urlencode({name: text for name, text in given.items() if text})
    return f"{ROOT}connect/{_KIND_OF[found.provider]}?{query}"


def _body(provider: Provider, sent: Submission) -> dict[str, object]:
    """Return the body of the API that a sent form asks for; raise `InvalidRequestError`."""
    body: dict[str, object] = {"provider": provider.value, **sent.given(*_TEXTS)}
    body |= {name: lines for name in LISTS if (lines := sent.lines(name))}
    if certificate := sent.text("ca_certificate"):
        body["ca_certificate"] = certificate
    if provider is Provider.AWS_ECR:
        if external_id := sent.text("external_id"):
            body["external_id"] = external_id
        if sent.ticked("without_external_id"):
            body["external_id"] = None
        if sent.ticked("pull_through_cache"):
            body["pull_through_cache"] = True
    for name in ("plain_http", "referrers"):
        if sent.ticked(name):
            body[name] = True
    return body | secret_body(sent) | last_day_body(sent.text("credential_expires_at"))
