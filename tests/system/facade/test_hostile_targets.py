"""Targets, hosts and headers that mean to lead elsewhere: refused, or of no effect."""

import pytest

from tests.support.answer_checks import require_error_headers, require_same
from tests.support.raw_http import ask, request_bytes
from tests.system.facade.conftest import Served
from tests.system.facade.hostile_targets import HOSTILE


def test_the_corpus_is_as_large_as_it_was_asked_to_be() -> None:
    """A corpus shrinks unseen."""
    assert len(HOSTILE) >= 60


async def test_a_hostile_target_is_refused_and_never_reaches_upstream(
    served: Served, subtests: pytest.Subtests
) -> None:
    """The connection behind it allows everything: only the target is wrong."""
    port = str(served.upstream.port).encode()
    for template, expected in HOSTILE.items():
        with subtests.test(target=template[:80]):
            target = served.fill(template.replace(b"{port}", port))
            answer = await ask(served.device, request_bytes(target))
            assert (answer.status, answer.error["code"]) == expected
            require_error_headers(answer)
            assert served.upstream.connections_made == 0


@pytest.mark.parametrize(
    "authority",
    [
        b"http://evil.example",
        b"https://evil.example",
        b"HTTP://evil.example",
        b"https://{host}",
        b"http://169.254.169.254",
        b"http://localhost:1",
        b"http://[::1]",
        b"http://[::1]:8443",
        b"http://user@evil.example",
        b"http://user:password@evil.example",
    ],
)
async def test_an_absolute_form_changes_nothing(served: Served, authority: bytes) -> None:
    """RFC 9112 section 3.2.2 has servers accept it; nothing is ever read from its authority."""
    plain = await ask(served.device, request_bytes(served.path.encode()))
    target = served.fill(authority) + served.path.encode()
    absolute = await ask(served.device, request_bytes(target))
    require_same(absolute, plain)
    assert absolute.body == b"content"
    assert {request.header("Host") for request in served.upstream.requests} == {
        str(served.upstream.host)
    }


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"169.254.169.254",
        b"registry-1.docker.io",
        b"nowhere.example:443",
        b"[::1]",
        b"",
        b"a b c",
        b"../..",
        b"\xff\xfe",
    ],
)
async def test_a_foreign_host_header_changes_nothing(served: Served, host: bytes) -> None:
    """Identity comes from the certificate, and what is asked for from the path."""
    plain = await ask(served.device, request_bytes(served.path.encode()))
    line = served.path.encode()
    foreign = await ask(served.device, b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (line, host))
    require_same(foreign, plain)


@pytest.mark.parametrize(
    "query",
    [b"?ns=evil.example", b"?ns=docker.io&ns=ghcr.io", b"?", b"?%00%2f..", b"?/v2/_catalog"],
)
async def test_a_query_changes_nothing(served: Served, query: bytes) -> None:
    """Containerd says `?ns=`; a mirror would obey it, this is none."""
    plain = await ask(served.device, request_bytes(served.path.encode()))
    require_same(await ask(served.device, request_bytes(served.path.encode() + query)), plain)
    assert {request.target for request in served.upstream.pulls} == {
        f"/v2/team/app/blobs/{served.digest}"
    }


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\n",
        b"X-Original-URL: /v2/_catalog\r\nX-Rewrite-URL: /v2/_catalog\r\n",
        b"X-HTTP-Method-Override: DELETE\r\n",
        b"Forwarded: for=127.0.0.1;host=evil.example\r\n",
        b"X-SSL-Client-Cert: none\r\nX-Client-Verify: SUCCESS\r\n",
        b"Authorization: Basic cm9ib3Q6d3Jvbmc=\r\n",
        b"Accept: text/html\r\nAccept-Encoding: gzip, br\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
        b"Expect: 100-continue\r\n",
        b"X-Odd: \xff\xfe\xc3\xa9\r\n",
    ],
)
async def test_headers_of_proxies_and_others_change_nothing(served: Served, headers: bytes) -> None:
    """Nothing of a device's headers decides anything, and none goes upstream."""
    plain = await ask(served.device, request_bytes(served.path.encode()))
    seen = served.upstream.pulls[-1].headers
    answer = await ask(served.device, request_bytes(served.path.encode(), headers=headers))
    require_same(answer, plain)
    assert served.upstream.pulls[-1].headers == seen
