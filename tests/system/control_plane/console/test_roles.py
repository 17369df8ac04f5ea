"""Every page and form of the console, by every role: from the one table of operations."""

from typing import Any
from uuid import uuid4

import pytest

from control_plane.console.page import ConsoleForm, ConsolePage
from control_plane.operations import OPERATIONS
from control_plane.operators.permissions import Role
from control_plane.serving.console_rooms import console_rooms
from tests.support.console_client import ConsoleClient, console_client
from tests.support.control_plane import OPERATORS, ControlPlane

_NAMES = {role: name for name, role in OPERATORS.items()}
FORBIDDEN = 403


class Anything:
    """Use cases that no test calls: rooms only hold them."""

    def __getattr__(self, _: str) -> Any:
        """Return whatever is asked for."""
        return Anything()


_THING: Any = Anything()
ROOMS = console_rooms(_THING, _THING, _THING)
PAGES = [page for room in ROOMS for page in room.pages()]
FORMS = [form for room in ROOMS for form in room.forms()]


def test_each_needs_an_operation_of_the_table() -> None:
    """So a role that is taken from an operation is taken from its page as well."""
    assert len(PAGES) > 8
    assert len(FORMS) > 8
    for page in PAGES:
        assert page.operation in OPERATIONS, page.path
    for form in FORMS:
        assert form.operation in OPERATIONS, form.path


def test_a_form_stands_on_a_page_that_those_may_see_who_may_send_it() -> None:
    """Otherwise a refused form could not be shown again."""
    for form in FORMS:
        assert form.page.operation.allows(form.operation.role), form.path


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_sees_and_does_what_its_operations_allow(
    plane: ControlPlane, role: Role
) -> None:
    """Nothing that it asks for is there, so that nothing is done."""
    async with console_client(plane, _NAMES[role]) as client:
        token = (await client.get("/console/me")).form_token
        for page in PAGES:
            status = (await client.get(_path(page))).status
            assert (status == FORBIDDEN) == (not page.operation.allows(role)), page.path
        for form in FORMS:
            if form.name in {"end-session", "end-all"}:
                continue  # everybody may, and it would end the session
            status = await _sent(client, form, token)
            assert (status == FORBIDDEN) == (not form.operation.allows(role)), form.path


def _path(each: ConsolePage | ConsoleForm) -> str:
    there_is_none = {"{id}": str(uuid4()), "{name}": "nobody", "{kind}": "ecr"}
    path = each.url
    for name, text in there_is_none.items():
        path = path.replace(name, text)
    return path


async def _sent(client: ConsoleClient, form: ConsoleForm, token: str) -> int:
    return (await client.post(_path(form), {"form_token": token})).status
