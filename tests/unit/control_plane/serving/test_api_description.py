"""`openapi.json` is what the operations of the API say."""

import re
from http import HTTPStatus

from control_plane.http.openapi import description_bytes
from control_plane.http.operation import PROBLEMS, AnswerShape, OperatorsOperation, RequestBody
from control_plane.operators.permissions import Role
from control_plane.serving.api_description import OPERATIONS, api_description
from deploy.dev.api_page import page


def test_the_file_is_what_the_operations_say() -> None:
    """`make docs` writes it; whoever changes an operation finds out here."""
    assert description_bytes() == page()


def test_what_is_referred_to_is_there_and_nothing_else() -> None:
    """A schema that nothing names is one that somebody forgot to take away."""
    components = api_description()["components"]
    there = {
        f"{kind}/{name}"
        for kind in ("schemas", "responses", "headers")
        for name in components[kind]
    }
    named = set(re.findall(rb'"#/components/(\w+/[\w-]+)"', description_bytes()))
    assert {name.decode() for name in named} == there


def test_every_operation_has_a_name_of_its_own() -> None:
    """Generators make a method of each."""
    assert len({each.id for each in OPERATIONS}) == len(OPERATIONS)


def test_problems_follow_from_what_an_operation_takes() -> None:
    """A role, a body, an id: each may be wrong in its own ways."""
    done = {204: AnswerShape("Done.")}
    plain = OperatorsOperation("POST", "/of", "do", "Do it", done, role=Role.VIEWER)
    whole = OperatorsOperation(
        "POST",
        "/of/{id}",
        "do",
        "Do it",
        done,
        role=Role.VIEWER,
        body=RequestBody("Any"),
        may_conflict=True,
        takes_if_match=True,
    )
    by_a_role, by_more = (set(each.described()["responses"]) for each in (plain, whole))
    assert by_a_role == {"204", "401", "403", "422", "429", "500", "503"}
    assert by_more - by_a_role == {"400", "404", "408", "409", "412", "413", "415"}
    every = {str(HTTPStatus(status).value) for status, _ in PROBLEMS.values()}
    assert every == by_more - {"204"}
