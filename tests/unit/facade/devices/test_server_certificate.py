"""What is wrong with the facade's own certificate, for devices that verify it."""

import datetime as dt

import pytest

from deploy.dev.device_ca import SERVER_AUTH, CertificateAuthority, IssuedCertificate
from facade.devices.server_certificate import ServerCertificate
from facade.metrics.problems import Stops

AUTHORITY = CertificateAuthority.create("server CA")


@pytest.mark.parametrize(
    "issued, told",
    [
        (AUTHORITY.issue_server(), []),
        (AUTHORITY.issue(dns=["localhost"]), [(Stops.ALL, "not for servers")]),
        (
            AUTHORITY.issue(common_name="localhost", usages=(SERVER_AUTH,)),
            [(Stops.NOTHING, "no names")],
        ),
    ],
)
def test_what_devices_refuse_is_found(
    issued: IssuedCertificate, told: list[tuple[Stops, str]]
) -> None:
    """Some clients still look at the common name, so that one without other names stops nothing."""
    found = ServerCertificate.parse(issued.chain_pem).findings(dt.datetime.now(dt.UTC))
    assert [(each.stops, each.kind) for each in found] == told
