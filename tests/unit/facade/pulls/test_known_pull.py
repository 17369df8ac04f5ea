"""What is made of a pull once is right each time."""

import pytest

from facade.answers.answer_headers import AnswerHead
from facade.pulls.known_pull import KnownPull
from facade.values.pull_path import Pull, parse_request
from shared.oci import Digest

DIGEST = Digest.of(b"manifest")


@pytest.fixture
def known() -> KnownPull:
    """A manifest's pull."""
    pull = parse_request("GET", f"/v2/registry.example/team/app/manifests/{DIGEST}")
    assert isinstance(pull, Pull)
    return KnownPull("GET", pull)


def test_another_type_or_length_has_another_head(known: KnownPull) -> None:
    """A digest that is read through another repository may bear another type."""
    for media_type, length in [("a/b", 1), ("a/c", 1), ("a/c", 2), ("a/c", 2), ("a/b", 1)]:
        head = known.answer_head(media_type, length, "id")
        expected = AnswerHead.of(DIGEST, media_type, length).bytes_now("id")
        assert head.partition(b"Date: ")[0] == expected.partition(b"Date: ")[0]


def test_method_and_pull_are_all_that_makes_it_another(known: KnownPull) -> None:
    """What was made of it once does not."""
    known.answer_head("a/b", 1, "id")
    assert known == KnownPull("GET", known.pull)
    assert known != KnownPull("HEAD", known.pull)
