"""A shell that gets no answer says from where, why, and what mends it; a refusal has its id."""

import asyncio
import datetime as dt
import itertools
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from control_plane.commands.answers import ListedConnectionAnswer
from control_plane.commands.api_client import ApiClient, ApiUnreachableError
from control_plane.serving.config import ClientSettings
from deploy.dev.device_ca import SERVER_AUTH, CertificateAuthority
from deploy.dev.processes import free_port
from deploy.dev.product import PROGRAMS
from tests.support.commands import Ran
from tests.support.control_plane import ControlPlane
from tests.support.shell import ran, shell
from tests.support.simulators.admin_api import TOKEN
from tests.support.surroundings import of_a_child

Stream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(answer: Stream, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yield the port of a server that does this with each connection."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(content: bytes) -> Stream:
    """Return what sends this and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(content)
        writer.close()

    return answer


async def listed(url: str, **settings: str) -> Ran:
    """Return what a list says of this URL; it fails, with one line, and names no class."""
    environment = {"CONTROL_PLANE_URL": url, "CONTROL_PLANE_TOKEN": TOKEN, **settings}
    finished = await ran(environment, "connections", "list")
    assert (finished.status, finished.output, len(finished.words.splitlines())) == (1, "", 1)
    assert url in finished.words
    for name in ("Error", "Client", "Exception", "Traceback", TOKEN):
        assert name not in finished.words
    return finished


@pytest.mark.parametrize(
    "name, days, ca, words",
    [
        ("localhost", 1, "", "CONTROL_PLANE_CA_FILE names the PEM file of the CA"),
        ("localhost", 1, "other", "no CA in the file that CONTROL_PLANE_CA_FILE names"),
        ("other.example", 1, "own", "of another host than CONTROL_PLANE_URL names"),
        ("localhost", -1, "own", "has expired"),
    ],
)
async def test_a_certificate_that_is_not_trusted(
    tmp_path: Path, name: str, days: int, ca: str, words: str
) -> None:
    """Which setting mends it, where one does."""
    authorities = {"own": CertificateAuthority.create(), "other": CertificateAuthority.create()}
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    since = until - dt.timedelta(days=9)
    issued = authorities["own"].issue(
        dns=[name], usages=(SERVER_AUTH,), not_before=since, not_after=until
    )
    files = issued.write(tmp_path, "server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    settings = {}
    if ca:
        (tmp_path / "ca.pem").write_bytes(authorities[ca].pem)
        settings = {"CONTROL_PLANE_CA_FILE": str(tmp_path / "ca.pem")}
    async with listening(saying(b""), tls) as port:
        assert words in (await listed(f"https://localhost:{port}", **settings)).words


async def test_what_is_no_control_plane_is_said() -> None:
    """Nothing there, no TLS, TLS, no HTTP, a cut answer, another service, no such name."""
    url = f"http://127.0.0.1:{free_port()}"
    refused = f"no answer from the control plane at {url}: connection refused; does it run there?"
    assert refused in (await listed(url)).words
    assert "does not resolve" in (await listed("http://no-such-host.invalid:8080")).words
    html = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"
    for content, words in (
        (html, "is not the control plane: is CONTROL_PLANE_URL right?"),
        (html.replace(b"<html>", b'{"a":1'), "is not the control plane"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}', "is not the control plane"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "(302) is not"),
        (html.replace(b"6", b"9"), "ended early"),
        (b"SSH-2.0-OpenSSH\r\n", "speaks no HTTP"),
        (b"", "the connection was closed; if it speaks TLS, CONTROL_PLANE_URL begins with https"),
    ):
        async with listening(saying(content)) as port:
            assert words in (await listed(f"http://127.0.0.1:{port}")).words, content
    async with listening(saying(html)) as port:
        finished = await listed(f"https://127.0.0.1:{port}")
    assert "it speaks no TLS; does CONTROL_PLANE_URL begin with http://" in finished.words


async def test_every_refusal_has_its_request_id(plane: ControlPlane, host: str) -> None:
    """By which the log is searched; and the option that a wrong field was said with."""
    add = ("connections", "add", host, "--anonymous", "--no-check")
    for operator, arguments in (
        ("alice", (*add, "--prefix", "/")),
        ("alice", ("connections", "show", "00000000-0000-4000-8000-000000000000")),
        ("eve", ("connections", "revoke", "00000000-0000-4000-8000-000000000000")),
        ("eve", add),
    ):
        refused = await shell(plane, *arguments, operator=operator)
        assert refused.status == 1
        (line,) = (line for line in refused.words.splitlines() if "request id: " in line)
        assert line.rpartition(" ")[2] in {each.get("request_id") for each in plane.log_lines}
        assert ("--prefix (/repository_prefix)" in refused.words) == ("--prefix" in arguments)
        is_told_already = "--prefix" in arguments
        assert ("\n  next: " in refused.words) != is_told_already
    settings = plane.shell_settings("alice") | {"CONTROL_PLANE_TOKEN": TOKEN}
    unknown = await ran(settings, "connections", "list")
    assert (unknown.status, "401" in unknown.words) == (1, True)
    assert "request id: " in unknown.words
    assert "next: `control-plane operators rotate NAME` makes a new token" in unknown.words


def test_without_a_terminal_nobody_is_asked_for_a_token(plane: ControlPlane, host: str) -> None:
    """Python's own way would warn, and then show what is typed."""
    finished = subprocess.run(
        [PROGRAMS / "control-plane", "connections", "add", host, "--username", "robot"],
        env=of_a_child(plane.shell_settings("alice")),
        input="canary-token\n",
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # a terminal of whoever runs the tests is none of its
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "--token-stdin" in finished.stderr
    assert "Warning" not in finished.stderr


@asynccontextmanager
async def serving_pages(page: Callable[[web.Request], object]) -> AsyncIterator[str]:
    """Yield the URL of a service that answers each question for connections with such JSON."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(page(request))

    app = web.Application()
    app.router.add_get("/v1/connections", answer)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "page",
    [{"items": None}, {"items": [1]}, {"items": [None]}, {"items": [], "next_cursor": {"a": 1}}],
)
async def test_a_page_of_another_service_is_no_list(page: dict[str, object]) -> None:
    """JSON of any other shape is no reason for a traceback."""
    async with serving_pages(lambda _: page) as url:
        assert "is not the control plane" in (await listed(url)).words


async def test_a_list_that_does_not_end_is_ended() -> None:
    """A page that follows itself at once, and one that always has another behind it by a bound."""
    async with serving_pages(lambda _: {"items": [], "next_cursor": "again"}) as url:
        assert "has no end" in (await listed(url)).words
    cursors = map(str, itertools.count())
    async with (
        serving_pages(lambda _: {"items": [], "next_cursor": next(cursors)}) as url,
        ApiClient.anonymous(ClientSettings(url=url)) as client,
    ):
        with pytest.raises(ApiUnreachableError, match="has no end"):
            _ = [
                page
                async for page in client.pages(ListedConnectionAnswer, "connections", at_most=5)
            ]
    assert next(cursors) == "5"


@pytest.mark.parametrize(
    "answer, words",
    [
        ({"kind": "Status", "status": "Failure", "code": 404}, "(404) is not the control plane"),
        ({"status": 404, "title": "Not Found", "errors": None}, "404 Not Found"),
        ({"status": 404, "title": "No", "errors": ["no such page", {"pointer": 5}]}, "404 No"),
        ({"status": 404, "title": "No", "errors": {"a": 1}, "check": {"realm": 5}}, "404 No"),
        ({"status": 404, "title": "No", "conflict": {"id": 1, "host": "a"}}, "404 No"),
    ],
)
async def test_a_problem_of_another_service_is_told_as_far_as_it_is_one(
    answer: dict[str, object], words: str
) -> None:
    """A Kubernetes API, say, or a framework that has `errors` of its own: never a traceback."""
    content = orjson.dumps(answer)
    head = f"HTTP/1.1 404 Not Found\r\nContent-Length: {len(content)}\r\n\r\n"
    async with listening(saying(head.encode() + content)) as port:
        settings = {"CONTROL_PLANE_URL": f"http://127.0.0.1:{port}", "CONTROL_PLANE_TOKEN": TOKEN}
        finished = await ran(settings, "devices", "list")
    assert (finished.status, finished.output) == (1, "")
    assert words in finished.words
