"""Which devices and fleets there can be, of each form of identity."""

import pytest

from shared.identity_form import IdentityForm, IdentityKind, KindForm

SPIFFE = KindForm(IdentityKind.SPIFFE)
FIXED = KindForm(IdentityKind.SPIFFE, "spiffe://example.com/site-1/{device}")
DNS, SUBJECT = KindForm(IdentityKind.DNS), KindForm(IdentityKind.SUBJECT)
DEVICE = "spiffe://example.com/fleet/line-a/device/press-7"


@pytest.mark.parametrize(
    "form, devices, others",
    [
        (SPIFFE, [DEVICE],
         ["press-7", DEVICE.upper(), f"{DEVICE}/x", DEVICE.replace("fleet", "f")]),
        (FIXED, ["spiffe://example.com/site-1/press-7"],
         [DEVICE, "spiffe://other.example/site-1/press-7", "spiffe://example.com/site-2/press-7"]),
        (DNS, ["press-7", "press-7.example.com"], [DEVICE, "Press-7", "press_7", "-x"]),
        (SUBJECT, ["press-7", "Press_7"], [DEVICE, "press 7", "x" * 65]),
    ],
)  # fmt: skip
def test_a_form_says_which_devices_there_can_be(
    form: IdentityForm, devices: list[str], others: list[str]
) -> None:
    """A revocation of any other revokes nobody."""
    assert [form.says_device(each) for each in devices] == [True] * len(devices)
    assert [form.says_device(each) for each in others] == [False] * len(others)


@pytest.mark.parametrize(
    "form, fleet, says",
    [
        (SPIFFE, "line-a", True),
        (SPIFFE, "Line A", False),
        (SPIFFE, "..", False),
        (FIXED, "line-a", False),
        (DNS, "line-a", False),
        (SUBJECT, "Line_A", True),
        (SUBJECT, "Line A", False),
    ],
)
def test_a_form_says_which_fleets_there_can_be(form: IdentityForm, fleet: str, says: bool) -> None:  # noqa: FBT001  # the expected value
    """A scope of any other serves nobody."""
    assert form.says_fleet(fleet) is says
