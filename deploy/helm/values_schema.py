"""`values.schema.json` of the chart: which values there are, and which settings may stand in them.

`python -m deploy.helm.values_schema` writes it; `make docs` calls that, because the names of the
settings are what the two programs know.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from control_plane.commands.settings import control_plane_settings
from facade.commands.settings import facade_settings
from shared.settings_table import SettingRow

CHART: Final = Path(__file__).parent / "registry-backends"
SCHEMA: Final = CHART / "values.schema.json"

# What the templates set themselves, from values of the chart.
SET_BY_CHART: Final = frozenset(
    {
        *(f"FACADE_{name}" for name in ("LISTEN", "OPERATIONS_LISTEN", "DATABASE_URL")),
        *(f"FACADE_{name}_FILE" for name in ("SEALING_PRIVATE_KEY", "STATEMENT_PUBLIC_KEY")),
        *(f"FACADE_{name}_FILE" for name in ("TLS_CERT", "TLS_KEY", "DEVICE_CA", "DEVICE_CRL")),
        *(f"FACADE_{name}" for name in ("DEVICE_IDENTITY", "DEVICE_URI_PATTERN", "STATE_DIR")),
        *(f"FACADE_{name}" for name in ("CACHE_DIR", "CACHE_MAX_BYTES")),
        *(f"FACADE_{name}" for name in ("DRAIN_DELAY", "DRAIN_TIMEOUT")),
        *(f"CONTROL_PLANE_{name}" for name in ("LISTEN", "DATABASE_URL", "MIGRATION_DATABASE_URL")),
        *(f"CONTROL_PLANE_{name}_FILE" for name in ("SEALING_PUBLIC_KEY", "STATEMENT_PRIVATE_KEY")),
        *(f"CONTROL_PLANE_{name}" for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "STATE_DIR")),
        *(f"CONTROL_PLANE_{name}" for name in ("BEHIND_TLS_PROXY", "DRAIN_TIMEOUT")),
        *(f"CONTROL_PLANE_{name}" for name in ("CONSOLE", "SESSION_KEY_FILE", "WEBHOOKS_FILE")),
        *(f"CONTROL_PLANE_{name}" for name in ("DEVICE_IDENTITY", "DEVICE_URI_PATTERN")),
    }
)
OF_A_SHELL: Final = frozenset(f"CONTROL_PLANE_{name}" for name in ("URL", "TOKEN", "CA_FILE"))
# These may hold a password, which no manifest may: they are given as a key of a Secret.
MAY_BE_SECRET: Final = frozenset(
    {"FACADE_HTTPS_PROXY", "CONTROL_PLANE_HTTPS_PROXY", "CONTROL_PLANE_OIDC_CLIENT_SECRET"}
)

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
_STRINGS: Final = {"type": "object", "additionalProperties": _TEXT}
_KEY: Final = {"type": "string", "pattern": r"^[-._a-zA-Z0-9]+$"}  # of a Secret
_OBJECT: Final = {"type": "object"}  # as Kubernetes has it, which says what is in it
_SIZE: Final = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,5}(Mi|Gi|Ti))$"}
_OCTET: Final = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4: Final = rf"({_OCTET}\.){{3}}{_OCTET}/(3[0-2]|[12]?\d)"
_IPV6: Final = r"[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}/(12[0-8]|1[01]\d|[1-9]?\d)"
_NETWORKS: Final = {
    "type": "array",
    "items": {"type": "string", "pattern": f"^({_IPV4}|{_IPV6})$"},
}
# Not an ipBlock: networks are named apart, because metadata addresses are taken out of them.
_PEERS: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"namespaceSelector": _OBJECT, "podSelector": _OBJECT},
        "additionalProperties": False,
        "minProperties": 1,
    },
}


def _choice(*words: str) -> dict[str, Any]:
    return {"enum": [*words]}


def _only(**properties: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _settings(names: Iterable[str], value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "propertyNames": {"enum": sorted(names)},
        "additionalProperties": value,
    }


def _component(rows: Iterable[SettingRow], **own: object) -> dict[str, Any]:
    """Return the values of a process: what both have, and its own."""
    names = {row.variable for row in rows} - SET_BY_CHART - OF_A_SHELL
    return _only(
        replicas=_COUNT,
        secretName=_TEXT,
        tlsSecretName=_TEXT,
        hostname=_TEXT,
        drainSeconds={"type": "integer", "minimum": 1, "maximum": 3600},
        settings=_settings(names - MAY_BE_SECRET, {"type": ["string", "number", "boolean"]}),
        secretSettings=_settings(
            {name for name in names if not name.endswith("_FILE")},
            _KEY,
        ),
        resources=_OBJECT,
        nodeSelector=_STRINGS,
        tolerations={"type": "array", "items": _OBJECT},
        **own,
    )


def values_schema() -> dict[str, Any]:
    """Return the schema; a value that it does not know is refused."""
    volume = _only(size=_SIZE, storageClass=_TEXT)
    service = _only(
        type=_choice("LoadBalancer", "ClusterIP", "NodePort"),
        port=_PORT,
        annotations=_STRINGS,
        sourceRanges=_NETWORKS,
    )
    autoscaling = _only(
        enabled=_FLAG,
        min={"type": "integer", "minimum": 1},
        max={"type": "integer", "minimum": 1},
        cpuPercent={"type": "integer", "minimum": 1, "maximum": 100},
        connections=_COUNT,
    )
    schema = _only(
        images=_only(
            controlPlane=_TEXT, facade=_TEXT, pullSecrets={"type": "array", "items": _TEXT}
        ),
        deviceIdentity=_only(kind=_choice("spiffe", "dns", "subject"), uriPattern=_TEXT),
        database=_only(caConfigMap=_TEXT),
        migration=_only(enabled=_FLAG, secretName=_TEXT),
        controlPlane=_component(
            control_plane_settings(),
            behindTlsProxy=_FLAG,
            webhooksKey={**_KEY, "pattern": r"^[-._a-zA-Z0-9]*$"},
            console=_only(enabled=_FLAG, sessionKey=_KEY),
            ingress=_only(
                enabled=_FLAG, className=_TEXT, annotations=_STRINGS, tlsSecretName=_TEXT
            ),
        ),
        facade=_component(
            facade_settings(),
            deviceTrust=_only(configMap=_TEXT, crl=_FLAG),
            state=_only(size=_SIZE | {"not": {"const": "0"}}, storageClass=_TEXT),
            cache=volume,
            service=service,
            autoscaling=autoscaling,
            serviceAccountAnnotations=_STRINGS,
        ),
        networkPolicy=_only(
            enabled=_FLAG,
            dns=_only(peers=_PEERS, networks=_NETWORKS),
            database=_only(port=_PORT, peers=_PEERS, networks=_NETWORKS),
            registries=_only(
                ports={"type": "array", "items": _PORT, "minItems": 1}, networks=_NETWORKS
            ),
            devices=_only(networks=_NETWORKS),
            operators=_PEERS,
            monitoring=_PEERS,
        ),
        certManager=_only(enabled=_FLAG, issuer=_only(name=_TEXT, kind=_TEXT, group=_TEXT)),
        externalSecrets=_only(
            enabled=_FLAG,
            store=_only(name=_TEXT, kind=_choice("SecretStore", "ClusterSecretStore")),
            prefix=_TEXT,
            refreshInterval=_TEXT,
        ),
        monitoring=_only(
            enabled=_FLAG,
            labels=_STRINGS,
            runbooks=_TEXT,
            controlPlaneToken=_only(secretName=_TEXT, key=_TEXT),
            controlPlaneCaKey=_TEXT,
            dashboardLabel=_TEXT,
        ),
        **{"global": _OBJECT},  # a chart that has this one as a part may set it
    )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Return what stands in the file."""
    return json.dumps(values_schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text())
