"""What stands around every page and form of the console, seen without a browser."""

import pytest

from control_plane.operators.login_gate import REFUSED_LOGINS
from control_plane.operators.operator_token import OperatorName
from deploy.dev.postgres import Postgres
from tests.support.console_client import SESSION, VISITOR, console_client
from tests.support.control_plane import ControlPlane, operators_of
from tests.system.control_plane.conftest import StartPlane

UNKNOWN_TOKEN = f"rfo_eve.{'A' * 43}"
MANY_LOGINS = 10 * REFUSED_LOGINS  # on a busy machine the bound fills again meanwhile


async def test_a_page_may_load_and_send_nothing_but_ours(plane: ControlPlane) -> None:
    """No frame around it, no script in it, no copy of it kept."""
    async with console_client(plane, "eve") as client:
        page = await client.get("/console/")
    policy = page.headers["Content-Security-Policy"]
    for said in (
        "default-src 'none'",
        "script-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert said in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert page.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_is_kept_for_ever_and_named_by_its_hash(plane: ControlPlane) -> None:
    """A newer one has another name."""
    async with console_client(plane, None) as client:
        page = await client.get("/console/sign-in")
        (path,) = {part for part in page.text.split('"') if part.endswith(".css")}
        file = await client.get(path)
        gone = await client.get("/console/static/console.css")
    assert file.status == 200
    assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert file.headers["Content-Type"] == "text/css; charset=utf-8"
    assert gone.status == 404


async def test_cookies_are_of_this_host_alone_and_no_script_reads_them(
    plane: ControlPlane,
) -> None:
    """And no form of another site brings them."""
    async with console_client(plane, None) as client:
        page = await client.sign_in(plane.tokens["eve"])
    (kept,) = (each for each in page.set_cookies if each.startswith(f"{SESSION}="))
    parts = {part.strip() for part in kept.split(";")[1:]}
    assert parts == {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"}


async def test_a_cookie_from_before_the_sign_in_is_worth_nothing_after_it(
    plane: ControlPlane,
) -> None:
    """Whoever planted one in a browser is not signed in with it (session fixation)."""
    async with console_client(plane, "eve") as planted, console_client(plane, None) as client:
        client.cookies[SESSION] = planted.cookies[SESSION]
        await client.sign_in(plane.tokens["root"])
        assert client.cookies[SESSION] != planted.cookies[SESSION]
        assert VISITOR not in client.cookies
        assert '"who-name">root<' in (await client.get("/console/")).text
        assert (await planted.get("/console/")).status == 303


async def test_a_sign_in_needs_the_form_that_this_browser_was_shown(plane: ControlPlane) -> None:
    """Nobody signs another browser in as somebody of their choice (login CSRF)."""
    sent = {"token": plane.tokens["eve"], "form_token": "A" * 22}
    async with console_client(plane, None) as client:
        without = await client.post("/console/sign-in", sent)
        await client.get("/console/sign-in")
        other = await client.post("/console/sign-in", sent)
        foreign = await client.post("/console/sign-in", sent | {"form_token": "é" * 22})
    for page in (without, other, foreign):
        assert page.status == 403
        assert "did not send our cookie back" in page.text
        assert plane.tokens["eve"] not in page.text
    assert SESSION not in client.cookies


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "", "Sec-Fetch-Site": ""},
    ],
)
async def test_a_form_of_another_site_does_nothing(
    plane: ControlPlane, headers: dict[str, str]
) -> None:
    """Even with the right cookie and the right token in it."""
    async with console_client(plane, "eve") as client:
        sent = {"form_token": (await client.get("/console/")).form_token}
        refused = await client.post("/console/sign-out", sent, headers)
        assert refused.status == 403
        assert "not sent by a page of the console" in refused.text
        assert (await client.get("/console/")).status == 200


async def test_a_form_of_another_session_does_nothing(plane: ControlPlane) -> None:
    """The token in it is the other session's."""
    async with console_client(plane, "bob") as other, console_client(plane, "eve") as client:
        sent = {"form_token": (await other.get("/console/")).form_token}
        assert (await client.post("/console/sign-out", sent)).status == 403
        assert (await client.get("/console/")).status == 200


async def test_removal_and_rotation_of_an_operator_hold_at_once(own_plane: ControlPlane) -> None:
    """A session lasts no longer than the token that it was begun with."""
    async with (
        console_client(own_plane, "eve") as eve,
        console_client(own_plane, "bob") as bob,
        operators_of(own_plane.owner_url, own_plane.keys) as operators,
    ):
        assert (await eve.get("/console/")).status == (await bob.get("/console/")).status == 200
        await operators.remove(OperatorName("eve"), actor="shell:test")
        await operators.rotate(OperatorName("bob"), lifetime=None, actor="shell:test")
        for client in (eve, bob):
            page = await client.get("/console/")
            assert (page.status, SESSION in client.cookies) == (303, False)
            assert page.headers["Location"] == "/console/sign-in?next=%2Fconsole%2F"


async def test_a_refused_token_costs_what_it_costs_at_the_api(own_plane: ControlPlane) -> None:
    """The same bounds hold, and the same line of the log."""
    async with console_client(own_plane, None) as client:
        shown = await client.get("/console/sign-in")
        sent = {"form_token": shown.form_token, "token": UNKNOWN_TOKEN}
        statuses = list[int]()
        while 429 not in statuses and len(statuses) < MANY_LOGINS:
            statuses.append((await client.post("/console/sign-in", sent)).status)
    assert set(statuses) == {401, 429}
    denied = [line for line in own_plane.log_lines if line["event"] == "login denied"]
    assert {line["route"] for line in denied} == {"/console/sign-in"}
    assert UNKNOWN_TOKEN not in own_plane.log.read_text()


async def test_the_root_is_for_browsers(plane: ControlPlane) -> None:
    """Whoever asks for no page is answered as before."""
    async with console_client(plane, None) as client:
        browser = await client.get("/", Accept="text/html,*/*;q=0.8")
        script = await client.get("/", Accept="*/*")
    assert (browser.status, browser.headers["Location"]) == (303, "/console/")
    assert (script.status, script.headers["Content-Type"]) == (404, "application/problem+json")


async def test_the_console_can_be_taken_away(start_plane: StartPlane) -> None:
    """Where only the API is wanted."""
    plane = await start_plane({"CONTROL_PLANE_CONSOLE": "false"})
    async with console_client(plane, None) as client:
        for path in ("/", "/console/", "/console/sign-in"):
            assert (await client.get(path, Accept="text/html")).status == 404


async def test_sessions_go_on_where_the_keys_are_kept(
    start_plane: StartPlane, plane: ControlPlane
) -> None:
    """Without a file a restart ends them, and the log says so."""
    key_file = plane.folder / "session-keys" / "session.key"
    plane.run("keys", "--only", "session", "--out", str(key_file.parent))
    own = await start_plane({"CONTROL_PLANE_SESSION_KEY_FILE": str(key_file)})
    async with console_client(own, "eve") as client:
        await own.restart()
        assert (await client.get("/console/")).status == 200
    warned = [each["variable"] for each in plane.log_lines if each["event"].startswith("sessions")]
    assert warned == ["CONTROL_PLANE_SESSION_KEY_FILE"]
    assert not [each for each in own.log_lines if each["event"].startswith("sessions")]


async def test_another_version_of_the_public_address_is_configured(start_plane: StartPlane) -> None:
    """Behind a proxy that hands on another Host header, forms are taken from there alone."""
    plane = await start_plane({"CONTROL_PLANE_PUBLIC_URL": "https://console.example"})
    async with console_client(plane, None) as client:
        shown = await client.get("/console/sign-in")
        sent = {"form_token": shown.form_token, "token": plane.tokens["eve"]}
        here = await client.post("/console/sign-in", sent)
        there = await client.post(
            "/console/sign-in", sent, {"Origin": "https://console.example", "Sec-Fetch-Site": ""}
        )
    assert (here.status, there.status) == (403, 303)


async def test_while_the_database_is_away_nothing_that_was_typed_is_lost(
    own_plane: ControlPlane, postgres: Postgres
) -> None:
    """A page says so with 503; a form keeps what was typed, but its secrets."""
    name = own_plane.owner_url.rpartition("/")[2].partition("?")[0]
    async with console_client(own_plane, "alice") as client:
        shown = await client.get("/console/connect/login")
        sent = {"form_token": shown.form_token, "host": "kept.example", "token": UNKNOWN_TOKEN}
        postgres.sql(
            f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false;'
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        page = await client.get("/console/")
        form = await client.post("/console/connect/login", sent)
        postgres.sql(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
        again = await client.post("/console/connect/login", sent)
    assert (page.status, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert "the database is not available" in page.text
    assert form.status == 503
    assert 'name="host" value="kept.example"' in form.text
    assert UNKNOWN_TOKEN not in form.text
    assert again.status == 422
