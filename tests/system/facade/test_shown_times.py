"""Points in time and delays that alerts stand on: what the metrics say is what is so."""

import datetime as dt
import time

import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from deploy.dev.device_ca import SERVER_AUTH, CertificateAuthority
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, until_accepted
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.swapped_files import swap
from tests.system.facade.conftest import StartFacade

EXPIRY = "facade_certificate_expiry_timestamp_seconds"
LAG = "facade_statement_lag_seconds"
LATE_SECONDS = 400.0  # an act that was made so long before the facade read of it
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
CA_ENDS, SERVER_ENDS = NOW + dt.timedelta(hours=7), NOW + dt.timedelta(days=1500)


@pytest.fixture
def own_facade(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> Facade:
    """A facade whose files the test may change."""
    return start_facade(own_writer, own_database.facade_url)


def shown(facade: Facade, name: str, **labels: str) -> float:
    """Return the value of a sample."""
    text = facade.operations("/metrics")[1]
    (value,) = (
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    )
    return value


async def test_the_ends_of_certificates_are_shown(own_facade: Facade) -> None:
    """The facade's own, and the first end of the devices' CAs; both follow the files."""
    files = own_facade.files
    assert shown(own_facade, EXPIRY, which="server") > time.time()
    first = files.device_ca.certificate.not_valid_after_utc
    assert shown(own_facade, EXPIRY, which="device_ca") == first.timestamp()
    renewed = files.server_ca.issue(
        common_name="server", dns=["localhost"], usages=(SERVER_AUTH,), not_after=SERVER_ENDS
    )
    await swap(
        own_facade,
        {"FACADE_TLS_KEY_FILE": renewed.key_pem, "FACADE_TLS_CERT_FILE": renewed.chain_pem},
    )
    assert shown(own_facade, EXPIRY, which="server") == SERVER_ENDS.timestamp()
    sooner = CertificateAuthority.create("another CA").renewed(not_after=CA_ENDS)
    await swap(own_facade, {"FACADE_DEVICE_CA_FILE": files.device_ca.pem + sooner.pem})
    assert shown(own_facade, EXPIRY, which="device_ca") == CA_ENDS.timestamp() < first.timestamp()


async def test_the_delay_from_an_act_to_its_effect_is_shown(
    own_facade: Facade, own_writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Of acts that are made while it follows; the first read is of older ones."""
    assert shown(own_facade, f"{LAG}_count") == 0
    began = time.time()
    await connect(own_facade, own_writer, upstream)
    assert shown(own_facade, f"{LAG}_count") == 1
    assert 0 <= shown(own_facade, f"{LAG}_sum") <= time.time() - began + 1
    made = int((began - LATE_SECONDS) * 1000)
    late = evolve(own_writer.approval("late.example"), generation=made)
    await own_writer.write(late)
    await until_accepted(own_facade, late)
    assert shown(own_facade, f"{LAG}_count") == 2
    assert shown(own_facade, f"{LAG}_bucket", le="60.0") == 1
    assert shown(own_facade, f"{LAG}_bucket", le="600.0") == 2
    assert shown(own_facade, f"{LAG}_sum") > LATE_SECONDS
