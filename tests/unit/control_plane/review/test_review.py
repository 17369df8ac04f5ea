"""A review shows everything that is approved, and hides no difference."""

import typing
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.review.document_lines import LINES, leaves_of, lines_of
from control_plane.review.review import DocumentReview, LineChange, review_of
from shared.connection import (
    Anonymous,
    ConnectionDocument,
    Credential,
    EcrRole,
    GoogleServiceAccount,
    UsernameAndToken,
)
from tests.unit.control_plane.review.documents import AT, ROLE, SECRET, document
from tests.unit.shared.strategies import connection_documents


def changes(review: DocumentReview) -> dict[str, LineChange]:
    """Return what becomes of each line, by its name."""
    return {each.line.name: each.change for each in review.lines}


def shown(review: DocumentReview, name: str) -> tuple[tuple[str, ...] | None, ...]:
    """Return a line's words, before and after."""
    ((before, after),) = [
        (each.before, each.after) for each in review.lines if each.line.name == name
    ]
    return before, after


@st.composite
def near_pairs(draw: st.DrawFn) -> tuple[ConnectionDocument, ConnectionDocument]:
    """Draw two documents that differ in one field at most; two at random differ in nearly all."""
    one, other = draw(connection_documents), draw(connection_documents)
    name = draw(st.sampled_from([field.name for field in attrs.fields(ConnectionDocument)]))
    return one, attrs.evolve(one, **{name: getattr(other, name)})


@given(st.one_of(near_pairs(), st.tuples(connection_documents, connection_documents)))
def test_no_difference_goes_unseen(pair: tuple[ConnectionDocument, ConnectionDocument]) -> None:
    """Whichever bytes differ, some line says so; and none does if no byte differs."""
    serving, draft = pair
    review = review_of(draft, serving, AT)
    differs = any(change is not LineChange.SAME for change in changes(review).values())
    assert differs == (draft.to_bytes() != serving.to_bytes())


@given(connection_documents)
def test_the_first_review_shows_each_line_as_new(made: ConnectionDocument) -> None:
    """Nothing of what is approved for the first time was seen before."""
    review = review_of(made, None, AT)
    assert set(changes(review).values()) == {LineChange.NEW}
    assert all(each.before is None and each.after for each in review.lines)
    assert all(each.is_new for each in review.highlights)


def fields_of(kind: type) -> Iterator[str]:
    """Give the paths of a class's fields, and of those of its records within."""
    hints = typing.get_type_hints(kind)
    for field in attrs.fields(kind):
        inner = [
            each
            for each in (hints[field.name], *typing.get_args(hints[field.name]))
            if attrs.has(each) and each.__module__ == "shared.connection"
        ]
        paths = [f"{field.name}.{path}" for each in inner for path in fields_of(each)]
        yield from paths or [field.name]


def test_every_field_of_a_document_has_a_line() -> None:
    """Whoever adds a field says where an approver reads it, and in which words."""
    fields = set(fields_of(ConnectionDocument)) | {"credential.kind"}
    for kind in typing.get_args(Credential):
        fields |= {f"credential.{field.name}" for field in attrs.fields(kind)}
    assert {"secret.sha256", "credential.role_arn", "ca_certificate"} <= fields
    shown_leaves = [leaf for line in LINES for leaf in line.leaves]
    assert sorted(shown_leaves) == sorted(fields)


@given(connection_documents)
def test_every_byte_of_a_document_has_a_line(made: ConnectionDocument) -> None:
    """What is hashed and signed is what is shown."""
    known = {leaf for line in LINES for leaf in line.leaves}
    assert leaves_of(made).keys() <= known
    assert tuple(lines_of(made)) == LINES


@attrs.frozen
class LaterDocument(ConnectionDocument):
    """A document of a later version, that nobody gave a line."""

    max_bytes: int = 0


def test_a_field_without_a_line_is_shown_all_the_same() -> None:
    """As the JSON has it."""
    terms = attrs.asdict(document(), recurse=False)
    one, other = LaterDocument(**terms), LaterDocument(**terms, max_bytes=5)
    review = review_of(other, one, AT)
    assert changes(review)["max_bytes"] is LineChange.NEW
    assert shown(review, "max_bytes") == (None, ("5",))


def test_lines_come_in_the_order_of_reading() -> None:
    """Where, as whom, how, what, and who wants it."""
    sections = [each.line.section.value for each in review_of(document(), None, AT).lines]
    assert list(dict.fromkeys(sections)) == ["registry", "login", "network", "scope", "made"]
    assert sections == sorted(sections, key=list(dict.fromkeys(sections)).index)


def test_an_edit_of_the_scope_is_seen_side_by_side() -> None:
    """And the rest is the same."""
    before, after = document(), document(repositories=("team/app", "team/b*"), fleets=())
    review = review_of(after, before, AT)
    assert {name for name, each in changes(review).items() if each is not LineChange.SAME} == {
        "repositories",
        "fleets",
    }
    assert shown(review, "repositories") == (("team/app",), ("team/app", "team/b*"))
    assert shown(review, "fleets") == (("line-a",), ("all",))
    assert review.changed_terms == 2


def test_another_kind_of_login_removes_lines_and_brings_others() -> None:
    """A user name is not changed into a role."""
    review = review_of(document(credential=ROLE), document(), AT)
    found = changes(review)
    assert found["login"] is LineChange.CHANGED
    assert found["username"] is found["secret"] is found["sealing"] is LineChange.REMOVED
    assert (
        found["role_arn"] is found["external_id"] is found["pull_through_cache"] is LineChange.NEW
    )
    assert "client_email" not in found


@pytest.mark.parametrize(
    "secret, words",
    [
        (SECRET, "as before (version 1)"),
        (attrs.evolve(SECRET, version=2, sha256="cd" * 32), "replaced (version 2)"),
        (
            attrs.evolve(SECRET, key_id="f" * 16, sha256="cd" * 32),
            "as before, sealed again (version 1)",
        ),
    ],
)
def test_a_secret_is_told_as_replaced_or_as_before(secret: typing.Any, words: str) -> None:
    """Nothing else of it is shown."""
    review = review_of(document(secret=secret), document(), AT)
    assert shown(review, "secret") == (("version 1",), (words,))
    assert shown(review_of(document(), None, AT), "secret") == (None, ("new (version 1)",))
    assert SECRET.sha256 not in repr([(each.before, each.after) for each in review.lines])


@pytest.mark.parametrize(
    "credential", [Anonymous(), UsernameAndToken("r"), GoogleServiceAccount("e", "p"), ROLE]
)
def test_every_kind_of_login_is_named(credential: Credential) -> None:
    """An approver reads first how it logs in at all."""
    (words,) = shown(review_of(document(credential=credential), None, AT), "login")[1] or ()
    assert words
    assert isinstance(credential, EcrRole) == ("AWS" in words)
