"""The body of a revocation: exactly one party is named, or every wrong field is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.device_revocation_request import parse_revocation_request
from control_plane.errors import InvalidRequestError

FIELDS = ("device", "serial", "issuer", "reason")
GOOD = {"device": "press-7", "serial": "0A:BC", "issuer": "cn=Device CA", "reason": "stolen"}
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.text())


@given(
    st.fixed_dictionaries(
        {}, optional={name: VALUES | st.just(value) for name, value in GOOD.items()}
    )
    | st.dictionaries(st.sampled_from([*FIELDS, "Device", "x/y"]), VALUES)
)
def test_any_object_is_one_party_or_names_what_is_wrong(body: dict[str, object]) -> None:
    """Never both, never neither, never an issuer without a serial; nothing is quoted."""
    try:
        target = parse_revocation_request(body).target
    except InvalidRequestError as error:
        pointers = {each.pointer for each in error.errors}
        assert pointers <= {"/device", "/serial", "/issuer", "/reason", "/Device", "/x~1y"}
        return
    assert (target.device is None) != (target.serial is None)
    assert target.issuer is None or target.serial is not None
    assert body.keys() <= set(FIELDS)


@pytest.mark.parametrize(
    "named, subject",
    [
        (("device",), "device/press-7"),
        (("serial",), "certificate/abc/"),
        (("serial", "issuer"), "certificate/abc/CN=Device CA"),
    ],
)
def test_a_party_has_one_subject(named: tuple[str, ...], subject: str) -> None:
    """The one that facades look for."""
    request = parse_revocation_request({name: GOOD[name] for name in named})
    assert request.target.subject == subject
    assert request.reason == ""
