"""The admin API from a shell: a call, and its answer or its problem in words."""

import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import aiohttp
import orjson
from attrs import frozen
from yarl import URL

from control_plane.commands.answer_reading import NotAsExpectedError, as_expected
from control_plane.commands.answers import PageAnswer
from control_plane.commands.api_problem import is_problem, problem_words
from control_plane.commands.api_trouble import not_as_expected, not_the_api, why_no_answer
from control_plane.commands.kept_login import kept_token
from control_plane.commands.next_step import next_step
from control_plane.errors import ControlPlaneError
from control_plane.prefix import PREFIX
from control_plane.serving.config import ClientSettings
from shared.bounded_file import read_bounded
from shared.environment import ConfigurationError
from shared.pem import InvalidPemError, load_certificates
from shared.secret import Secret
from shared.upstream.tls import client_tls, client_tls_of

TIMEOUT_SECONDS: Final = 60.0  # a check may take 30 s
MAX_CA_FILE_BYTES: Final = 4 * 1024 * 1024  # some hundred CAs, with the text between them
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024  # a page of connections, each with a CA bundle
PAGE_ITEMS: Final = "200"  # the API's longest page
MAX_PAGES: Final = 10_000  # of a list: two million entries; beyond them it has no end

_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

Json = dict[str, Any]
_Answer = TypeVar("_Answer")


class ApiRefusedError(ControlPlaneError):
    """The API answered with a problem; the message has every wrong field."""

    def __init__(
        self,
        status: int,
        problem: Json,
        *,
        advice: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        """Hold the problem, and after how many seconds the same call may go through."""
        said = [problem_words(status, problem), *([f"next: {advice}"] if advice else [])]
        super().__init__("\n  ".join(said))
        self.status = status
        self.problem = problem
        self.advice = advice
        self.retry_after_seconds = retry_after_seconds


class ApiUnreachableError(ControlPlaneError):
    """There was no answer from the API."""


@frozen
class TaggedAnswer(Generic[_Answer]):
    """An answer, and the tag by which a change of just that is asked for; older ones have none."""

    answer: _Answer
    tag: str | None


@frozen
class ItemsPage(Generic[_Answer]):
    """A page of a list; `is_whole` says that the list has no other page."""

    items: list[_Answer]
    is_whole: bool


class ApiClient:
    """Calls the API as one operator."""

    def __init__(self, session: aiohttp.ClientSession, configured: ClientSettings) -> None:
        """Hold the session, and where the API is."""
        self._session = session
        self._url = configured.url.rstrip("/")
        self._token: Secret | None = None
        self._ca_file = configured.ca_file
        self._is_login = False  # whether the token is of a login that was kept

    def calling_with(self, token: Secret, *, is_login: bool) -> None:
        """Call as the holder of a token from now on; `is_login`: of one that `login` got."""
        self._token, self._is_login = token, is_login

    @classmethod
    @asynccontextmanager
    async def open(cls, configured: ClientSettings) -> AsyncIterator["ApiClient"]:
        """Yield a client of whoever the token, or the login that was kept, says.

        Raises `ConfigurationError` for a CA file that holds no certificate, and what
        `kept_token` raises.
        """
        async with cls.anonymous(configured) as client:
            client.calling_with(
                configured.token or await kept_token(configured),
                is_login=configured.token is None,
            )
            yield client

    @classmethod
    @asynccontextmanager
    async def anonymous(cls, configured: ClientSettings) -> AsyncIterator["ApiClient"]:
        """Yield a client of nobody; raise `ConfigurationError` as `open` does."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(ssl=_tls(configured.ca_file)),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            yield cls(session, configured)

    async def call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        seen: str | None = None,
    ) -> None:
        """Call; what is answered is not read.

        `seen` is the tag of what is to be changed, and of nothing newer. Raises `ApiRefusedError`
        or `ApiUnreachableError`.
        """
        await self._call(method, *path, query=query, body=body, seen=seen)

    async def answer(
        self,
        expected: type[_Answer],
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        seen: str | None = None,
    ) -> _Answer:
        """Return the answer's JSON, of a class of `answers.py`.

        Raises as `call` does, and `ApiUnreachableError` for an answer of another form.
        """
        found = await self._call(method, *path, query=query, body=body, seen=seen)
        return self._as_expected(found.answer, expected)

    async def tagged(self, expected: type[_Answer], *path: str) -> TaggedAnswer[_Answer]:
        """Return what is there, with its tag; raise as `answer` does."""
        found = await self._call("GET", *path)
        return TaggedAnswer(self._as_expected(found.answer, expected), found.tag)

    async def _call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        seen: str | None = None,
    ) -> TaggedAnswer[Json]:
        parts = "/".join(quote(part, safe="") for part in path)
        url = URL(f"{self._url}/v1/{parts}", encoded=True).with_query(query or {})
        headers = {"Authorization": f"Bearer {self._token.reveal_text()}"} if self._token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if seen is not None:
            headers["If-Match"] = seen
        try:
            async with self._session.request(
                method,
                url,
                data=BytesIO(orjson.dumps(body)) if body is not None else None,
                headers=headers,
                allow_redirects=False,  # the token is for this address alone
            ) as response:
                body_of_answer = await _body(response)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ApiUnreachableError(why_no_answer(error, self._url, self._ca_file)) from None
        answer = self._answer(response, body_of_answer, path)
        return TaggedAnswer(answer, response.headers.get("ETag"))

    def _answer(self, response: aiohttp.ClientResponse, body: bytes, path: Sequence[str]) -> Json:
        if response.status == HTTPStatus.NO_CONTENT:
            return {}
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        is_refused = response.status >= HTTPStatus.MULTIPLE_CHOICES
        if not isinstance(answer, dict) or (is_refused and not is_problem(answer)):
            raise ApiUnreachableError(not_the_api(response.status, self._url))
        if is_refused:
            request_id = response.headers.get("X-Request-Id", "")
            seconds = _seconds(response.headers.get("Retry-After", ""))
            advice = next_step(
                response.status,
                path,
                is_login=self._is_login,
                retry_after_seconds=seconds,
            )
            raise ApiRefusedError(
                response.status,
                {"request_id": request_id} | answer,
                advice=advice,
                retry_after_seconds=seconds,
            )
        return answer

    async def items(
        self, expected: type[_Answer], *path: str, query: Mapping[str, str] | None = None
    ) -> list[_Answer]:
        """Return a list's items, of all its pages; raise as `answer` does."""
        return [
            item async for page in self.pages(expected, *path, query=query) for item in page.items
        ]

    async def pages(
        self,
        expected: type[_Answer],
        *path: str,
        query: Mapping[str, str] | None = None,
        at_most: int = MAX_PAGES,
    ) -> AsyncIterator[ItemsPage[_Answer]]:
        """Yield a list page by page, as the pages arrive; raise as `answer` does.

        `expected` is the class of one item. `ApiUnreachableError` is also raised behind so many
        pages, and by one that follows itself.
        """
        asked, is_first = {"limit": PAGE_ITEMS, **(query or {})}, True
        for _ in range(at_most):
            page = await self.answer(PageAnswer, "GET", *path, query=asked)
            items = self._as_expected(page["items"], list[expected], "items")  # type: ignore[valid-type] # made here
            following = page.get("next_cursor")
            yield ItemsPage(items, is_whole=is_first and following is None)
            if following is None:
                return
            if following == asked.get("cursor"):
                break
            asked["cursor"], is_first = following, False
        raise ApiUnreachableError(f"the list that {self._url} answers with has no end")

    def _as_expected(self, found: object, expected: type[_Answer], where: str = "") -> _Answer:
        try:
            return as_expected(found, expected, where)
        except NotAsExpectedError as error:
            raise ApiUnreachableError(not_as_expected(str(error), self._url)) from None


def _seconds(text: str) -> int | None:
    return int(text) if _SECONDS.fullmatch(text) else None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body; raise `ApiUnreachableError` for one that is too large."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise ApiUnreachableError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return whom the API's client trusts: the system's authorities, or only those of the file."""
    if ca_file is None:
        return client_tls()
    try:
        return client_tls_of(load_certificates(read_bounded(ca_file, MAX_CA_FILE_BYTES)))
    except InvalidPemError as error:
        problem = f"expected certificates in PEM: {error}"
    except OSError:  # ssl.SSLError is one
        problem = "expected certificates in PEM"
    raise ConfigurationError([f"{PREFIX}_CA_FILE: {problem}"])
