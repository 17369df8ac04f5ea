"""The kinds of other projects that the chart makes: what they take, of that which the chart uses.

No schema of them can be had without a cluster. These say which fields there are, which must be
there and of what type they are, by the reference pages of each project; a field that is not here is
refused.

- ServiceMonitor, PrometheusRule: monitoring.coreos.com/v1 (prometheus-operator)
- Certificate: cert-manager.io/v1
- ExternalSecret: external-secrets.io/v1
"""

from typing import Any, Final

Json = dict[str, Any]

_TEXT: Final = {"type": "string"}
_NAME: Final = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
_DURATION: Final = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}
_LABELS: Final = {"type": "object", "additionalProperties": _TEXT}


def _only(*required: str, **properties: object) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


def _list(items: object) -> Json:
    return {"type": "array", "items": items, "minItems": 1}


_KEY: Final = _only("name", "key", name=_NAME, key=_TEXT)
_ENDPOINT: Final = _only(
    "port",
    port=_TEXT,
    path=_TEXT,
    scheme={"enum": ["http", "https"]},
    authorization=_only("credentials", type=_TEXT, credentials=_KEY),
    tlsConfig=_only(ca=_only(secret=_KEY, configMap=_KEY), serverName=_TEXT),
)
_RULE: Final = {
    "oneOf": [
        _only("record", "expr", record=_TEXT, expr=_TEXT, labels=_LABELS),
        _only(
            "alert",
            "expr",
            "annotations",
            **{"alert": _TEXT, "expr": _TEXT, "for": _DURATION, "keep_firing_for": _DURATION},
            labels=_LABELS,
            annotations=_LABELS,
        ),
    ]
}
_SPECS: Final[dict[tuple[str, str], Json]] = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _only(
        "selector",
        "endpoints",
        jobLabel=_TEXT,
        selector=_only("matchLabels", matchLabels=_LABELS),
        endpoints=_list(_ENDPOINT),
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _only(
        "groups",
        groups=_list(_only("name", "rules", name=_TEXT, interval=_DURATION, rules=_list(_RULE))),
    ),
    ("cert-manager.io/v1", "Certificate"): _only(
        "secretName",
        "issuerRef",
        "dnsNames",
        secretName=_NAME,
        dnsNames=_list(_NAME),
        usages=_list({"enum": ["digital signature", "key encipherment", "server auth"]}),
        privateKey=_only(
            algorithm={"enum": ["RSA", "ECDSA", "Ed25519"]},
            size={"enum": [256, 384, 521, 2048, 3072, 4096]},
            rotationPolicy={"enum": ["Never", "Always"]},
        ),
        issuerRef=_only("name", name=_NAME, kind=_TEXT, group=_TEXT),
    ),
    ("external-secrets.io/v1", "ExternalSecret"): _only(
        "secretStoreRef",
        "dataFrom",
        refreshInterval=_DURATION,
        secretStoreRef=_only(
            "name", name=_NAME, kind={"enum": ["SecretStore", "ClusterSecretStore"]}
        ),
        target=_only(name=_NAME, creationPolicy={"enum": ["Owner", "Orphan", "Merge", "None"]}),
        dataFrom=_list(_only("extract", extract=_only("key", key=_TEXT))),
    ),
}


def schema_of(manifest: Json) -> Json | None:
    """Return the schema of another project's kind; None if it is one of Kubernetes itself."""
    spec = _SPECS.get((manifest["apiVersion"], manifest["kind"]))
    if spec is None:
        return None
    metadata = _only(
        "name", "namespace", name=_NAME, namespace=_NAME, labels=_LABELS, annotations=_LABELS
    )
    return _only("metadata", "spec", apiVersion=_TEXT, kind=_TEXT, metadata=metadata, spec=spec)
