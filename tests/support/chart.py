"""The Helm chart, rendered: manifests as Kubernetes would be sent them."""

from collections.abc import Iterator, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import helm_python
import yaml
from attrs import frozen

from deploy.helm.values_schema import CHART

Json = dict[str, Any]

# The least that must be given.
LEAST: Json = {
    "images": {
        "controlPlane": "registry.example/control-plane@sha256:" + "a" * 64,
        "facade": "registry.example/facade@sha256:" + "b" * 64,
    },
    "migration": {"secretName": "migration"},
    "controlPlane": {"secretName": "control-plane", "tlsSecretName": "control-plane-tls"},
    "facade": {
        "secretName": "facade",
        "tlsSecretName": "facade-tls",
        "deviceTrust": {"configMap": "devices"},
    },
}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """Return values as Helm merges them: maps into one another, all else replaced."""
    result = dict(base)
    for name, value in over.items():
        before = result.get(name)
        both = isinstance(before, dict) and isinstance(value, dict)
        result[name] = merged(before, value) if both else value  # type: ignore[arg-type] # dicts
    return result


@frozen
class Rendered:
    """A release: its manifests, and what is printed at its end."""

    manifests: list[Json]
    notes: str

    @classmethod
    def of(
        cls, values: Mapping[str, Any], *, name: str = "rb", upgrade: bool = False
    ) -> "Rendered":
        """Render the chart with these values over its own; raise `helm_python.HelmError`."""
        rendered = _chart().render(
            dict(values), name=name, namespace="prod", is_install=not upgrade, is_upgrade=upgrade
        )
        notes = rendered.pop("registry-backends/templates/NOTES.txt")
        documents = [each for text in rendered.values() for each in yaml.safe_load_all(text)]
        return cls([each for each in documents if each], notes)

    def of_kind(self, *kinds: str) -> list[Json]:
        """Return the manifests of these kinds."""
        return [each for each in self.manifests if each["kind"] in kinds]

    def one(self, kind: str, name: str) -> Json:
        """Return the one manifest of this kind and name."""
        (found,) = (each for each in self.of_kind(kind) if each["metadata"]["name"] == name)
        return found

    def pods(self) -> Iterator[Json]:
        """Yield the specification of each pod."""
        for each in self.of_kind("Deployment", "StatefulSet", "Job"):
            yield each["spec"]["template"]["spec"]

    def egress(self, name: str) -> "Egress":
        """Return what a NetworkPolicy lets its pods reach."""
        return Egress(self.one("NetworkPolicy", name)["spec"]["egress"])


@frozen
class Egress:
    """The rules of one NetworkPolicy, judged as Kubernetes judges them."""

    rules: list[Json]

    def reaches(self, address: IPv4Address | IPv6Address, port: int | None = None) -> bool:
        """Tell whether an address that is no pod's is reached by TCP, on this or any port."""
        return any(
            self._allows_port(rule, port) and self._allows(rule, address) for rule in self.rules
        )

    @staticmethod
    def _allows_port(rule: Json, port: int | None) -> bool:
        ports = rule.get("ports") or [{}]  # none named are all
        return port is None or any(
            each.get("port", port) == port and each.get("protocol", "TCP") == "TCP"
            for each in ports
        )

    @staticmethod
    def _allows(rule: Json, address: IPv4Address | IPv6Address) -> bool:
        if not rule.get("to"):
            return True  # nobody named is everybody
        blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
        return any(
            address in ip_network(block["cidr"])
            and not any(address in ip_network(part) for part in block.get("except", ()))
            for block in blocks
        )


@cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)
