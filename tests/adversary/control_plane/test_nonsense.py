"""Whatever an operator sends is nonsense for a while; another operator's lists are answered."""

from urllib.parse import quote

import aiohttp
import pytest

from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed
from tests.adversary.control_plane.attacked import AttackedPlane
from tests.adversary.guards import check
from tests.adversary.nonsense import Nonsense
from tests.support.console_client import SESSION
from tests.support.days_ahead import day_ahead, noon_of

pytestmark = pytest.mark.attack
BODIES = (
    b'{"host": "ghcr.io", "provider": "static", "username": "robot", "token": "canary"}',
    b'{"serial": "5e22", "issuer": "CN=device CA", "reason": "lost"}',
    b'{"host": "europe-docker.pkg.dev", "provider": "google_service_account", "token": "{}"}',
)
PATHS = (
    b"/v1/connections?check=false",
    b"/v1/device-revocations",
    b"/v1/device-revocations/batch",
    b"/v1/audit?limit=3&cursor=abc",
)
FORMS = (
    b"form_token=AAAAAAAAAAAAAAAAAAAAAA&token=rfo_eve.canary&next=%2Fconsole%2F",
    b"host=ghcr.io&repositories=a%0D%0Ab&fleets=x&fleets=y",
)
OPERATORS = (
    b'{"name": "temp", "role": "viewer", "expires_at": "%b"}' % noon_of(day_ahead(4)).encode(),
    b'{"person": "oidc:https%3A%2F%2Fid.example:1"}',
)
SEALED = "A" * 400
TAGS = ('"0123456789abcdef", W/"x"', "*", '"a","b" ,"c"')


@check(
    "control_plane/reading/field_reader.py",
    "    except orjson.JSONDecodeError:",
    "    except ZeroDivisionError:",
)
async def test_an_operator_who_sends_nonsense(attacked: AttackedPlane) -> None:
    """Bodies and parameters; no token of the operator's fails anything but its own call."""
    nonsense, operator = Nonsense(), attacked.plane.client("alice")
    admin = attacked.plane.client("root")
    made = await operator.connect("tagged.example")
    connection = f"/v1/connections/{made['id']}"
    async with attacked.watched("nonsense in bodies and parameters", Party.OPERATOR) as attack:
        while attack.goes_on:
            path = "/v1/" + nonsense.header(*(each.decode() for each in PATHS)).lstrip("/")[:500]
            answer = await operator.call("POST", path, content=nonsense.like(*BODIES))
            assert answer.status < 500
            answer = await operator.call("POST", PATHS[0].decode(), content=nonsense.like(*BODIES))
            assert answer.status < 500
            cursor = quote(nonsense.header("YWxpY2U=")[:500])
            answer = await admin.call("GET", f"/v1/operators?cursor={cursor}")
            assert answer.status in {200, 422}
            answer = await admin.call("GET", f"/v1/operators/{cursor}/sessions")
            assert answer.status in {200, 404, 405}
            answer = await admin.call("POST", "/v1/operators", content=nonsense.like(*OPERATORS))
            assert answer.status < 500
            answer = await admin.call(
                "POST", "/v1/operators/eve/rotate", content=nonsense.like(*OPERATORS)
            )
            assert answer.status < 500
            tags = "".join(each for each in nonsense.header(*TAGS) if " " <= each <= "~")
            headers = {"If-Match": tags[:6000]}
            answer = await operator.call("PATCH", connection, {"fleets": ["a"]}, headers=headers)
            assert answer.status in {200, 412}


@check(
    "control_plane/console/submission.py",
    '    except ValueError:\n        raise UnreadableBodyError("this is not a form',
    '    except ZeroDivisionError:\n        raise UnreadableBodyError("this is not a form',
)
async def test_a_stranger_who_sends_nonsense_forms(attacked: AttackedPlane) -> None:
    """To the console, with sessions that nobody sealed."""
    nonsense, url = Nonsense(), f"{attacked.plane.url}/console/sign-in"
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        attacked.watched("nonsense in forms and sessions", Party.STRANGER, Allowed()) as attack,
    ):
        while attack.goes_on:
            cookie = "".join(each for each in nonsense.header(SEALED) if "!" <= each <= "~")
            headers = {
                "Cookie": f"{SESSION}={cookie[:6000]}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Origin": attacked.plane.url,
            }
            async with session.post(url, data=nonsense.like(*FORMS), headers=headers) as answer:
                assert answer.status < 500
            async with session.get(
                f"{attacked.plane.url}/console/", headers=headers, allow_redirects=False
            ) as answer:
                assert answer.status == 303
