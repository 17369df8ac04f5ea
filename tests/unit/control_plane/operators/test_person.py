"""Who somebody is at the provider, in one form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.operator_token import InvalidOperatorNameError, OperatorName
from control_plane.operators.permissions import Role
from control_plane.operators.person import InvalidPersonError, Person, is_person
from control_plane.operators.second_approver import Maker, why_no_second

ADA = str(Person("https://login.example", "ada"))
BEN = str(Person("https://login.example", "ben"))
PARTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


@given(PARTS, PARTS)
def test_a_person_is_written_in_one_form(issuer: str, subject: str) -> None:
    """Whatever a provider calls its subjects; and no operator's name can be one."""
    person = Person(issuer, subject)
    try:
        assert Person.parse(str(person)) == person
    except InvalidPersonError:
        assert len(str(person)) > 765
    assert is_person(str(person))
    with pytest.raises(InvalidOperatorNameError):
        OperatorName.parse(str(person))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "oidc:https://login.example:ada",
        "oidc:https%3A%2F%2Flogin.example",
        "oidc::ada",
        f"{ADA}:more",
        ADA.replace("%3A", "%3a"),
        ADA.replace("ada", "%61da"),
        ADA.replace("ada", "%FF"),
        f"oidc:https%3A%2F%2Flogin.example:{'a' * 256}",
    ],
)
def test_any_other_form_is_refused(text: str) -> None:
    """Two spellings of one person would be two persons."""
    with pytest.raises(InvalidPersonError):
        Person.parse(text)


def approver(name: str, person: str | None) -> AuthenticatedOperator:
    """Return somebody who approves."""
    return AuthenticatedOperator(name, Role.APPROVER, person=person)


@pytest.mark.parametrize(
    "maker, by, words",
    [
        (Maker.of("alice", None), approver("bob", None), None),
        (Maker.of("alice", None), approver("alice", None), "of their own"),
        (Maker.of("alice", None), approver(ADA, ADA), "might be your own"),
        (Maker.of("alice", ADA), approver(ADA, ADA), "one person's"),
        (Maker.of("alice", ADA), approver("alice-2", ADA), "one person's"),
        (Maker.of("alice", ADA), approver("bob", None), "tied to none"),
        (Maker.of("alice", ADA), approver(BEN, BEN), None),
        (Maker.of(ADA, ADA), approver(ADA, ADA), "of their own"),
        (Maker.of(ADA, None), approver("alice", ADA), "one person's"),
        (Maker.of(ADA, None), approver("bob", None), "tied to none"),
        (Maker.of(ADA, None), approver("bob", BEN), None),
    ],
)
def test_one_human_is_never_two_approvers(
    maker: Maker, by: AuthenticatedOperator, words: str | None
) -> None:
    """Nor is anybody who might be that human."""
    why = why_no_second(maker, by)
    assert (why is None) == (words is None)
    assert words is None or words in (why or "")


def test_an_entry_says_only_what_its_actor_does_not() -> None:
    """A person's own name is their identity."""
    assert Maker.of(ADA, ADA).details == {}
    assert Maker.of("alice", ADA).details == {"maker_person": ADA}
    assert Maker.of("alice", None).details == {}
