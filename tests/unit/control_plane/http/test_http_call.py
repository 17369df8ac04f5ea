"""What of a request's head and query becomes a value."""

import asyncio
import gc
import uuid
import weakref
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import FieldError, InvalidRequestError, NotAuthenticatedError
from control_plane.http.http_call import bearer_token, content_of
from control_plane.operators.operator_token import OperatorName, OperatorToken
from control_plane.reading.query_reader import (
    QueryReader,
    format_place,
    parse_limit,
    parse_place,
    parse_sequence,
)
from tests.support.eventually import eventually
from tests.support.held_sockets import held_sockets

MOMENTS = st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1))  # noqa: DTZ001  # a bound is naive
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126))


async def test_a_request_is_let_go_at_once_when_its_sender_leaves_in_the_middle() -> None:
    """Bodies of strangers that stop would wait in memory until garbage is looked for."""
    requests, has_left = list[weakref.ref[web.BaseRequest]](), asyncio.Event()

    async def read(request: web.BaseRequest) -> web.Response:
        requests.append(weakref.ref(request))
        try:
            return web.Response(body=await content_of(request))
        except ConnectionError:  # else a log keeps it
            has_left.set()
            return web.Response()

    server = await asyncio.get_running_loop().create_server(web.Server(read), "127.0.0.1", 0)
    gc.disable()
    try:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
        async with held_sockets(server.sockets[0].getsockname()[1], 1, head + bytes(30_000)):
            await eventually(lambda: bool(requests))
        await has_left.wait()
        await eventually(lambda: requests[0]() is None)
    finally:
        gc.enable()
        server.close()


@given(MOMENTS, st.uuids())
def test_a_cursor_is_read_again(moment: datetime, connection_id: uuid.UUID) -> None:
    """The next page begins where this one ended."""
    text = format_place((moment, connection_id))
    assert text is not None
    assert parse_place(text) == (moment, connection_id)


@given(st.text())
def test_any_other_cursor_is_a_wrong_parameter(text: str) -> None:
    """Never an error of ours."""
    query = QueryReader({"cursor": [text]})
    place = query.place()
    assert [each.parameter for each in query.errors] == ["cursor"] or isinstance(place, tuple)


@given(st.text())
def test_any_number_is_read_or_refused(text: str) -> None:
    """In ASCII digits alone, and within bounds."""
    for name, parse in (("limit", parse_limit), ("after", parse_sequence)):
        query = QueryReader({name: [text]})
        value = query.text(name, parse)
        assert [each.parameter for each in query.errors] == [name] or value == int(text)


def test_every_wrong_parameter_is_named_at_once() -> None:
    """With what the body has wrong behind them; one round of corrections is enough."""
    query = QueryReader({"limit": ["0"], "check": ["x"], "host": ["a", "b"], "lmit": ["1"]})
    query.limit()
    query.switch("check", default=True)
    query.text("host", str)
    with pytest.raises(InvalidRequestError) as refused, query.finishing_with_body():
        raise InvalidRequestError((FieldError("/host", "missing"),))
    named = [each.parameter or each.pointer for each in refused.value.errors]
    assert named == ["limit", "check", "host", "lmit", "/host"]


@given(PRINTABLE)
def test_any_authorization_is_a_token_or_nobodys(text: str) -> None:
    """And its text is in no error: whatever was sent is answered in the same words."""
    request = make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {text}"})
    with pytest.raises(NotAuthenticatedError) as refused:
        OperatorToken.presented(bearer_token(request))
    assert str(refused.value) == (
        "this is no operator's token, or not the whole of one:"
        " an operator's token is rfo_<name>.<43 characters>"
    )
    assert refused.value.reason == "not of a token's form"


def test_two_authorizations_are_nobodys() -> None:
    """Which of them a proxy looked at, we cannot know."""
    token = OperatorToken.mint(OperatorName("alice")).secret.reveal_text()
    request = make_mocked_request("GET", "/", headers={"Authorization": f"bearer {token}"})
    assert OperatorToken.presented(bearer_token(request)).name == OperatorName("alice")
    headers = request.headers.copy()
    headers.add("Authorization", f"Bearer {token}")
    with pytest.raises(NotAuthenticatedError, match="several Authorization headers") as refused:
        bearer_token(make_mocked_request("GET", "/", headers=headers))
    assert token not in str(refused.value)
