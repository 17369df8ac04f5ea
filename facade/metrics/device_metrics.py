"""What is counted of devices' connections, and of the files that trust depends on."""

from enum import StrEnum

from attrs import frozen
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from facade.metrics.act_to_effect import EFFECT_BUCKETS


class WhichCertificate(StrEnum):
    """The certificates whose end is shown."""

    SERVER = "server"  # of FACADE_TLS_CERT_FILE
    DEVICE_CA = "device_ca"  # of FACADE_DEVICE_CA_FILE, the first that ends


@frozen(kw_only=True)
class DeviceMetrics:
    """Labels are reasons, settings and CAs of the configured bundle: small sets."""

    connections: Gauge
    handshakes: Gauge
    handshakes_failed: Counter
    handshakes_refused: Counter
    refused: Counter
    connections_cut: Counter
    revocation_seconds: Histogram
    file_refused: Gauge
    key_exposed: Gauge
    crl_next_update: Gauge
    crl_expires_in: Gauge
    ca_expires_in: Gauge
    certificate_ends: Gauge
    certificate_expires_in: Gauge
    expiry: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "DeviceMetrics":
        """Return metrics that start at zero."""
        return cls(
            connections=Gauge(
                "facade_device_connections", "Devices' open connections", registry=registry
            ),
            handshakes=Gauge(
                "facade_device_handshakes", "Handshakes in progress", registry=registry
            ),
            handshakes_failed=Counter(
                "facade_device_handshakes_failed",
                "Handshakes that did not come to an end, or were given up for newer ones",
                registry=registry,
            ),
            handshakes_refused=Counter(
                "facade_device_handshakes_refused",
                "Handshakes that came to nothing, and finished ones that were not accepted",
                ["reason"],
                registry=registry,
            ),
            refused=Counter(
                "facade_devices_refused",
                "Requests of devices that get nothing at all although their handshake was accepted",
                ["reason"],
                registry=registry,
            ),
            connections_cut=Counter(
                "facade_device_connections_cut",
                "Devices' connections that were reset",
                ["reason"],
                registry=registry,
            ),
            revocation_seconds=Histogram(
                "facade_device_revocation_seconds",
                "From the revocation of a device to the cut of each of its connections",
                buckets=EFFECT_BUCKETS,
                registry=registry,
            ),
            file_refused=Gauge(
                "facade_file_refused",
                "1 where a changed file is not used, because it is broken",
                ["setting"],
                registry=registry,
            ),
            key_exposed=Gauge(
                "facade_private_key_exposed",
                "1 if every user of the machine may read the file of a private key",
                ["setting"],
                registry=registry,
            ),
            crl_next_update=Gauge(
                "facade_crl_next_update_timestamp_seconds",
                "When a device CA's CRL expires; 0 where there is none",
                ["issuer"],
                registry=registry,
            ),
            crl_expires_in=Gauge(
                "facade_crl_expires_in_seconds",
                "Until a device CA's CRL expires and its devices are refused",
                ["issuer"],
                registry=registry,
            ),
            ca_expires_in=Gauge(
                "facade_device_ca_expires_in_seconds",
                "Until a device CA expires and its devices are refused",
                ["issuer"],
                registry=registry,
            ),
            certificate_ends=Gauge(
                "facade_server_certificate_expiry_timestamp_seconds",
                "When the facade's own certificate expires",
                registry=registry,
            ),
            certificate_expires_in=Gauge(
                "facade_server_certificate_expires_in_seconds",
                "Until the facade's own certificate expires and devices refuse it",
                registry=registry,
            ),
            expiry=Gauge(
                "facade_certificate_expiry_timestamp_seconds",
                "When a certificate expires: the facade's own, or the first of the device CAs",
                ["which"],
                registry=registry,
            ),
        )
