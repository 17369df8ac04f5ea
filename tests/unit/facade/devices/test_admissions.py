"""Whether anybody is let in: said until somebody is, and said again for other device CAs."""

import datetime as dt

import attrs

from deploy.dev.device_ca import CertificateAuthority
from facade.devices.admissions import Admissions
from facade.devices.presented_device import PresentedDevice
from facade.metrics.problems import FacadePart, Stops
from facade.values.authority import Authority
from facade.values.device_identity import DeviceIdentity

NOW = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
AUTHORITY = Authority.of(CertificateAuthority.create("device CA").certificate)
DEVICE = PresentedDevice(
    DeviceIdentity("press-7", None, "abc", NOW), AUTHORITY.name, 0xABC, NOW, AUTHORITY, AUTHORITY
)
NOBODY = attrs.evolve(DEVICE, identity=None, problem="the certificate has 0 names of the kind")


def test_nobody_who_came_is_no_problem() -> None:
    """At night, or before the first device is set up."""
    assert Admissions().problem() is None


def test_devices_that_are_refused_or_nobody_are_said_until_one_is_let_in() -> None:
    """With the last reason, which names what may be wrong."""
    admissions = Admissions()
    admissions.note_refused("its certificate was issued by a CA that is not known")
    admissions.note(NOBODY)
    problem = admissions.problem()
    assert problem is not None
    assert (problem.part, problem.stops) == (FacadePart.DEVICES, Stops.SOME)
    assert "2 were refused" in problem.words
    assert NOBODY.problem in problem.words
    admissions.note(DEVICE)
    admissions.note_refused("it has expired")
    assert admissions.problem() is None


def test_other_device_cas_begin_anew() -> None:
    """Those who were let in before say nothing of them."""
    admissions = Admissions()
    admissions.note(DEVICE)
    admissions.begin_anew()
    assert admissions.problem() is None
    admissions.note_refused("unknown CA")
    assert admissions.problem() is not None
