"""Whether answers say that they are about the same bytes."""

from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.validator import Validator

validators = st.builds(
    Validator,
    etag=st.none() | st.sampled_from(['"a"', '"b"']),
    names_digest=st.none() | st.booleans(),
)


@given(one=validators, other=validators)
def test_both_say_so(one: Validator, other: Validator) -> None:
    """In the same way; and neither says anything else."""
    fits = one.fits(other)
    assert fits == other.fits(one)
    if fits:
        assert one.is_strong
        assert other.is_strong
        assert False not in (one.names_digest, other.names_digest)
        assert one.etag == other.etag or None in (one.etag, other.etag)
    assert one.fits(one) == one.is_strong
