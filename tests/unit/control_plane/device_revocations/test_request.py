"""The body of a revocation: exactly one party is named, or every wrong field is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.device_revocations.request import (
    MAX_NAMED_WRONG_FIELDS,
    MAX_REVOCATIONS,
    parse_revocation_request,
    parse_revocation_requests,
)
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


ITEMS = st.lists(
    st.just({"device": "press-7"}) | st.dictionaries(st.sampled_from(FIELDS), VALUES) | VALUES
)


@given(st.fixed_dictionaries({}, optional={"revocations": ITEMS | VALUES, "other": VALUES}))
def test_any_list_is_requests_or_names_what_is_wrong(body: dict[str, object]) -> None:
    """A request for each item, in their order, or no request at all."""
    try:
        requests = parse_revocation_requests(body)
    except InvalidRequestError as error:
        pointers = [each.pointer for each in error.errors]
        assert 0 < len(pointers) <= MAX_NAMED_WRONG_FIELDS + len(FIELDS) + 1
        assert all(each.startswith(("/revocations", "/other")) for each in pointers)
        return
    items = body["revocations"]
    assert isinstance(items, list)
    assert len(requests) == len(items) > 0
    for item, request in zip(items, requests, strict=True):
        assert request == parse_revocation_request(item)


def test_a_list_is_bounded_and_of_a_wrong_one_a_hundred_fields_are_named() -> None:
    """A file of another kind is wrong in every line."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_revocation_requests({"revocations": [GOOD] * (MAX_REVOCATIONS + 1)})
    assert [each.pointer for each in refused.value.errors] == ["/revocations"]
    with pytest.raises(InvalidRequestError) as refused:
        parse_revocation_requests({"revocations": [{"device": "a b"}] * 1000})
    assert len(refused.value.errors) == MAX_NAMED_WRONG_FIELDS
    assert refused.value.errors[-1].pointer == f"/revocations/{MAX_NAMED_WRONG_FIELDS - 1}/device"
