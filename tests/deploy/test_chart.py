"""The Helm chart: linted, rendered for a matrix of values, and each manifest judged."""

import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

import helm_python
import jsonschema  # type: ignore[import-untyped] # it ships no types
import kubernetes_validate  # type: ignore[import-untyped] # nor does this
import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.dev.debian import REPOSITORY
from deploy.helm.values_schema import (
    CHART,
    MAY_BE_SECRET,
    OF_A_SHELL,
    SCHEMA,
    SET_BY_CHART,
    schema_text,
)
from deploy.observability.dashboards import FOLDER
from facade.serving.end_in_time import END_SECONDS
from shared.setting_types import parse_duration
from shared.upstream.egress import NEVER
from tests.support.chart import LEAST, Json, Rendered, merged
from tests.support.custom_resources import schema_of
from tests.support.rules import RULES

NEWEST: Final = kubernetes_validate.utils.all_versions()[::-1]
VERSIONS: Final = list(dict.fromkeys(kubernetes_validate.utils.major_minor(v) for v in NEWEST))[:3]
PROGRAMS: Final = Path(sys.executable).parent
MAY_BE_URLS: Final = ("URI_PATTERN", "OIDC_ISSUER")  # without a password
METADATA: Final = NEVER["a metadata or role-credential"]

CASES: Final[dict[str, Json]] = {
    "the least": {},
    "everything": {
        "images": {"pullSecrets": ["pull"]},
        "deviceIdentity": {"uriPattern": "spiffe://corp.example/fleet/{fleet}/device/{device}"},
        "database": {"caConfigMap": "database-ca"},
        "controlPlane": {
            "tlsSecretName": "",
            "hostname": "registries.corp.example",
            "settings": {
                "CONTROL_PLANE_REQUIRE_SECOND_APPROVER": True,
                "CONTROL_PLANE_OIDC_ISSUER": "https://login.corp.example",
                "CONTROL_PLANE_OIDC_CA_FILE": "/etc/registry-backends/secret/oidc-ca.pem",
            },
            "secretSettings": {
                "CONTROL_PLANE_HTTPS_PROXY": "https-proxy",
                "CONTROL_PLANE_OIDC_CLIENT_SECRET": "oidc-client-secret",
            },
            "console": {"sessionKey": "sessions"},
            "webhooksKey": "webhooks.yaml",
            "ingress": {
                "enabled": True,
                "className": "nginx",
                "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"},
                "tlsSecretName": "console-tls",
            },
            "nodeSelector": {"pool": "small"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        },
        "facade": {
            "tlsSecretName": "",
            "hostname": "facade.corp.example",
            "deviceTrust": {"crl": True},
            "state": {"storageClass": "fast"},
            "cache": {"size": "1Ti", "storageClass": "local"},
            "service": {
                "annotations": {"corp.example/lb": "network"},
                "sourceRanges": ["10.0.0.0/8"],
            },
            "autoscaling": {"enabled": True, "min": 3, "max": 9, "connections": 4000},
            "serviceAccountAnnotations": {
                "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/facade"
            },
            "settings": {"FACADE_MAX_CONNECTIONS": 8000, "FACADE_UPSTREAM_TIMEOUT": "30s"},
            "secretSettings": {"FACADE_HTTPS_PROXY": "https-proxy"},
            "nodeSelector": {"pool": "disks"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        },
        "networkPolicy": {
            "dns": {"networks": ["169.254.20.10/32"]},
            "database": {"peers": [{"podSelector": {"matchLabels": {"app": "postgres"}}}]},
            "operators": [{"namespaceSelector": {"matchLabels": {"team": "platform"}}}],
        },
        "certManager": {"enabled": True, "issuer": {"name": "corp"}},
        "externalSecrets": {"enabled": True, "store": {"name": "vault"}},
        "monitoring": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "runbooks": "https://wiki.corp.example/runbooks.md",
            "controlPlaneToken": {"secretName": "scraper"},
        },
    },
    "behind a proxy, nothing kept, no policies": {
        "controlPlane": {
            "behindTlsProxy": True,
            "tlsSecretName": "",
            "replicas": 1,
            "console": {"enabled": False},
        },
        "facade": {"cache": {"size": "0"}, "service": {"type": "ClusterIP"}, "replicas": 1},
        "migration": {"enabled": False, "secretName": ""},
        "networkPolicy": {"enabled": False},
        "monitoring": {"enabled": True, "controlPlaneToken": {"secretName": "scraper"}},
    },
    "networks of their own": {
        "facade": {"service": {"type": "NodePort"}, "drainSeconds": 3600},
        "networkPolicy": {
            "database": {"port": 6432, "networks": ["10.1.2.3/32"]},
            "registries": {"ports": [443, 5000], "networks": ["168.0.0.0/6", "fd00::/8"]},
            "devices": {"networks": ["10.0.0.0/8"]},
            "monitoring": [],
        },
    },
    "nobody is reached": {
        "networkPolicy": {
            "dns": {"peers": []},
            "database": {"networks": []},
            "registries": {"networks": []},
            "devices": {"networks": []},
            "monitoring": [],
        },
    },
}
every_case = pytest.mark.parametrize("case", CASES)


@cache
def rendered(case: str) -> Rendered:
    """Return the release of a case."""
    return Rendered.of(values_of(case))


def values_of(case: str) -> Json:
    """Return the values of a case."""
    return merged(LEAST, CASES[case])


@cache
def known_settings(program: str) -> set[str]:
    """Return the names that a program prints."""
    command = [str(PROGRAMS / program), "settings", "--json"]
    printed = subprocess.run(command, env={}, capture_output=True, check=True).stdout
    return {each["variable"] for each in orjson.loads(printed)}


@every_case
def test_helm_finds_nothing_wrong(case: str) -> None:
    """Linted as strictly as Helm does, with the schema of the values."""
    report = helm_python.lint(CHART, values_of(case), strict=True)
    assert report["errors"] == []
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
@every_case
def test_kubernetes_knows_every_field(case: str, version: str) -> None:
    """The newest three, strictly: a field that it does not know is an error."""
    for manifest in rendered(case).manifests:
        schema = schema_of(manifest)
        if schema:
            jsonschema.validate(manifest, schema)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_wrong_field_is_found() -> None:
    """A check that finds nothing would prove nothing."""
    service = rendered("the least").one("Service", "rb-facade")
    wrong = merged(service, {"spec": {"externalTraffic": "Local"}})
    with pytest.raises(kubernetes_validate.ValidationError, match="externalTraffic"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)
    monitor = rendered("everything").one("ServiceMonitor", "rb-facade")
    schema = schema_of(monitor)
    assert schema
    with pytest.raises(jsonschema.ValidationError, match="jobLabels"):
        jsonschema.validate(merged(monitor, {"spec": {"jobLabels": "job"}}), schema)


@every_case
def test_names_are_given_once_and_everything_is_of_the_release(case: str) -> None:
    """Two releases of one namespace would write over one another."""
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(case).manifests]
    assert len(set(names)) == len(names)
    assert {each["metadata"]["namespace"] for each in rendered(case).manifests} == {"prod"}
    others = {(each["kind"], each["metadata"]["name"]) for each in _other_release(case).manifests}
    shared = {kind for kind, name in set(names) & others}
    assert shared <= {"ExternalSecret"}  # these have the names that the values give


def _other_release(case: str) -> Rendered:
    return Rendered.of(values_of(case), name="other")


def test_a_long_name_of_a_release_fits() -> None:
    """53 characters are Helm's limit; of a StatefulSet's name, with a hash, a label is made."""
    limits = {"StatefulSet": 52, "Service": 63, "Job": 63}
    long = Rendered.of(values_of("everything"), name="r" * 53)
    for manifest in long.manifests:
        assert len(manifest["metadata"]["name"]) <= limits.get(manifest["kind"], 253)
        assert all(len(value) <= 63 for value in manifest["metadata"]["labels"].values())


# Pod Security, the profile "restricted", and what the issue asks beyond it.


@every_case
def test_pods_are_restricted(case: str) -> None:
    """As the Pod Security Standards say it, each container."""
    for pod in rendered(case).pods():
        assert restricted(pod) == []
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["enableServiceLinks"] is False  # else FACADE_PORT and its like are set
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def restricted(pod: Json) -> list[str]:
    """Return what the profile "restricted" forbids of a pod's specification."""
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    volumes = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    found += [v["name"] for v in pod.get("volumes", ()) if not (v.keys() - {"name"}) <= volumes]
    whole = pod.get("securityContext", {})
    if whole.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append("seccompProfile")
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        own = container.get("securityContext", {})
        if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if not {**whole, **own}.get("runAsNonRoot") or {**whole, **own}.get("runAsUser") == 0:
            found.append("runAsNonRoot")
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            found.append("capabilities")
        if any("hostPort" in port for port in container.get("ports", ())):
            found.append("hostPort")
    return found


@pytest.mark.parametrize(
    "spoil, found",
    [
        (lambda pod: pod.update(hostNetwork=True), "hostNetwork"),
        (lambda pod: pod["volumes"].append({"name": "root", "hostPath": {"path": "/"}}), "root"),
        (lambda pod: pod["securityContext"].pop("seccompProfile"), "seccompProfile"),
        (lambda pod: pod["containers"][0].pop("securityContext"), "capabilities"),
    ],
)
def test_a_pod_that_is_not_restricted_is_found(spoil: Callable[[Json], object], found: str) -> None:
    """A check that finds nothing would prove nothing."""
    pod = next(Rendered.of(LEAST).pods())
    spoil(pod)
    assert found in restricted(pod)


@every_case
def test_no_manifest_holds_a_secret(case: str) -> None:
    """They are named; pods read them as files, and their environment has paths alone."""
    release = rendered(case)
    assert release.of_kind("Secret") == []
    for pod in release.pods():
        for container in pod["containers"]:
            for variable in container["env"]:
                assert variable.keys() == {"name", "value"}
                assert "://" not in variable["value"] or variable["name"].endswith(MAY_BE_URLS)
    files = {
        "FACADE_DATABASE_URL_FILE",
        "FACADE_SEALING_PRIVATE_KEY_FILE",
        "CONTROL_PLANE_DATABASE_URL_FILE",
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE",
    }
    environment = {each["name"]: each["value"] for pod in release.pods() for each in _env(pod)}
    assert {environment[name].rpartition("/")[0] for name in files} == {
        "/etc/registry-backends/secret"
    }
    for pod in release.pods():
        secrets = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
        assert {each["defaultMode"] for each in secrets} == {0o440}  # not everybody's


def _env(pod: Json) -> list[Json]:
    (container,) = pod["containers"]
    env: list[Json] = container["env"]
    return env


# Settings of the product.


def test_the_schema_of_the_values_is_up_to_date() -> None:
    """`make docs` writes it; whoever adds a setting finds out here."""
    assert SCHEMA.read_text() == schema_text()


def test_the_names_that_the_chart_knows_are_the_programs_own() -> None:
    """Neither more nor fewer than `settings --json` prints."""
    properties = orjson.loads(SCHEMA.read_bytes())["properties"]
    for program, component in (("facade", "facade"), ("control-plane", "controlPlane")):
        offered = set(properties[component]["properties"]["settings"]["propertyNames"]["enum"])
        known = known_settings(program)
        assert offered == known - SET_BY_CHART - OF_A_SHELL - MAY_BE_SECRET
    assert known_settings("facade") | known_settings("control-plane") >= (
        SET_BY_CHART | OF_A_SHELL | MAY_BE_SECRET
    )


@every_case
def test_every_variable_is_a_setting_of_its_program(case: str) -> None:
    """A name that a program does not know would end it with 2."""
    for pod in rendered(case).pods():
        program = "facade" if pod["containers"][0]["name"] == "facade" else "control-plane"
        names = [each["name"] for each in _env(pod)]
        assert len(set(names)) == len(names)
        known = known_settings(program)
        assert {
            n for n in names if n not in known and n.removesuffix("_FILE") not in known
        } == set()


def test_settings_reach_their_process() -> None:
    """As text, whatever they were in the values; secret ones as paths of files."""
    release = rendered("everything")
    env = {e["name"]: e["value"] for e in _env(_pod(release, "StatefulSet", "rb-facade"))}
    assert env["FACADE_MAX_CONNECTIONS"] == "8000"
    assert env["FACADE_UPSTREAM_TIMEOUT"] == "30s"
    assert env["FACADE_HTTPS_PROXY_FILE"] == "/etc/registry-backends/secret/https-proxy"
    assert env["FACADE_CACHE_MAX_BYTES"] == str(1024**4 * 4 // 5)
    assert env["FACADE_DEVICE_CRL_FILE"] == "/etc/registry-backends/devices/crl.pem"
    env = {e["name"]: e["value"] for e in _env(_pod(release, "Deployment", "rb-control-plane"))}
    assert env["CONTROL_PLANE_REQUIRE_SECOND_APPROVER"] == "true"
    assert env["CONTROL_PLANE_DEVICE_URI_PATTERN"].startswith("spiffe://corp.example/")
    secret = "/etc/registry-backends/secret"
    assert env["CONTROL_PLANE_OIDC_CLIENT_SECRET_FILE"] == f"{secret}/oidc-client-secret"
    assert env["CONTROL_PLANE_SESSION_KEY_FILE"] == f"{secret}/sessions"
    assert env["CONTROL_PLANE_WEBHOOKS_FILE"] == f"{secret}/webhooks.yaml"


def test_the_console_has_one_key_for_all_replicas_or_there_is_none() -> None:
    """With a key of its own, each pod would know only those who logged in at it."""
    for case, enabled in (("the least", "true"), ("behind a proxy, nothing kept, no policies", "")):
        pod = _pod(rendered(case), "Deployment", "rb-control-plane")
        env = {each["name"]: each["value"] for each in _env(pod)}
        assert env["CONTROL_PLANE_CONSOLE"] == (enabled or "false")
        assert ("CONTROL_PLANE_SESSION_KEY_FILE" in env) == bool(enabled)
        assert ("/console/" in rendered(case).notes) == bool(enabled)


def test_an_ingress_leads_to_the_api_and_the_console() -> None:
    """If asked for: by the name of the control plane, over TLS alone."""
    assert rendered("the least").of_kind("Ingress") == []
    release = rendered("everything")
    ingress = release.one("Ingress", "rb-control-plane")["spec"]
    host = "registries.corp.example"
    assert ingress["tls"] == [{"hosts": [host], "secretName": "console-tls"}]
    (rule,) = ingress["rules"]
    assert rule["host"] == host
    backend = rule["http"]["paths"][0]["backend"]["service"]
    service = release.one("Service", backend["name"])["spec"]
    assert backend["port"]["name"] in {port["name"] for port in service["ports"]}
    assert f"https://{host}/console/" in release.notes


def _pod(release: Rendered, kind: str, name: str) -> Json:
    pod: Json = release.one(kind, name)["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"FACADE_LOG_LEVLE": "info"}, "FACADE_LOG_LEVLE"),
        ({"FACADE_LISTEN": "0.0.0.0:1"}, "FACADE_LISTEN"),
        ({"FACADE_DATABASE_URL": "postgresql://u:canary@h/d"}, "FACADE_DATABASE_URL"),
        ({"FACADE_HTTPS_PROXY": "http://u:canary@proxy:1"}, "FACADE_HTTPS_PROXY"),
        ({"CONTROL_PLANE_LOG_LEVEL": "info"}, "CONTROL_PLANE_LOG_LEVEL"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_installed(settings: Json, told: str) -> None:
    """By name: unknown, the chart's own, one that may hold a password, another process's."""
    with pytest.raises(helm_python.HelmError) as refused:
        Rendered.of(merged(LEAST, {"facade": {"settings": settings}}))
    assert told in str(refused.value)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "values, told",
    [
        ({"images": {"facade": ""}}, "images.facade"),
        ({"images": {"controlPlane": ""}}, "images.controlPlane"),
        ({"migration": {"secretName": ""}}, "migration.secretName"),
        ({"controlPlane": {"secretName": ""}}, "controlPlane.secretName"),
        ({"controlPlane": {"tlsSecretName": ""}}, "controlPlane.tlsSecretName"),
        ({"controlPlane": {"ingress": {"enabled": True}}}, "controlPlane.hostname"),
        ({"controlPlane": {"console": {"sessionKey": ""}}}, "sessionKey"),
        ({"facade": {"secretName": ""}}, "facade.secretName"),
        ({"facade": {"tlsSecretName": ""}}, "facade.tlsSecretName"),
        ({"facade": {"deviceTrust": {"configMap": ""}}}, "facade.deviceTrust.configMap"),
        ({"certManager": {"enabled": True, "issuer": {"name": "corp"}}}, "hostname"),
        ({"facade": {"replica": 3}}, "replica"),
        ({"facade": {"state": {"size": "0"}}}, "size"),
        ({"networkPolicy": {"database": {"peers": [{"ipBlock": {}}]}}}, "ipBlock"),
        ({"networkPolicy": {"registries": {"networks": ["registry.example"]}}}, "networks"),
        ({"networkPolicy": {"registries": {"networks": ["169.254.170.2/32"]}}}, "metadata"),
    ],
)
def test_what_is_missing_or_wrong_is_told(values: Json, told: str) -> None:
    """By the name of the value."""
    with pytest.raises(helm_python.HelmError, match=re.escape(told)):
        Rendered.of(merged(LEAST, values))


# Stopping, disruptions, scaling.


@every_case
def test_a_pod_that_is_stopped_has_time_to_drain(case: str) -> None:
    """It leaves, drains, and ends itself before Kubernetes kills it."""
    release = rendered(case)
    plane = _pod(release, "Deployment", "rb-control-plane")
    facade = _pod(release, "StatefulSet", "rb-facade")
    (container,) = plane["containers"]
    leaving = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    draining = _seconds(plane, "CONTROL_PLANE_DRAIN_TIMEOUT")
    assert leaving + draining + END_SECONDS < plane["terminationGracePeriodSeconds"]
    draining = _seconds(facade, "FACADE_DRAIN_TIMEOUT")
    assert draining + END_SECONDS < facade["terminationGracePeriodSeconds"]
    assert 0 < _seconds(facade, "FACADE_DRAIN_DELAY") < draining


def _seconds(pod: Json, name: str) -> float:
    (value,) = (each["value"] for each in _env(pod) if each["name"] == name)
    return parse_duration(str(value))


@every_case
def test_one_pod_of_each_goes_at_a_time(case: str) -> None:
    """Also where there is one alone: a node can be drained."""
    release = rendered(case)
    budgets = {
        each["metadata"]["name"]: each["spec"] for each in release.of_kind("PodDisruptionBudget")
    }
    assert budgets.keys() == {"rb-control-plane", "rb-facade"}
    for kind, name in (("Deployment", "rb-control-plane"), ("StatefulSet", "rb-facade")):
        assert budgets[name]["maxUnavailable"] == 1
        chosen = budgets[name]["selector"]["matchLabels"]
        labels = release.one(kind, name)["spec"]["template"]["metadata"]["labels"]
        assert chosen.items() <= labels.items()
        spread = _pod(release, kind, name)["topologySpreadConstraints"]
        assert [each["labelSelector"]["matchLabels"] for each in spread] == [chosen, chosen]


def test_scaling_is_off_unless_it_is_asked_for() -> None:
    """Then it has the number of replicas, by CPU and by connections."""
    assert rendered("the least").of_kind("HorizontalPodAutoscaler") == []
    assert rendered("the least").one("StatefulSet", "rb-facade")["spec"]["replicas"] == 2
    release = rendered("everything")
    assert "replicas" not in release.one("StatefulSet", "rb-facade")["spec"]
    scaler = release.one("HorizontalPodAutoscaler", "rb-facade")["spec"]
    assert scaler["scaleTargetRef"]["kind"] == "StatefulSet"
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 9)
    cpu, connections = scaler["metrics"]
    assert cpu["resource"]["target"]["averageUtilization"] == 70
    assert connections["pods"]["metric"]["name"] == "facade_device_connections"
    assert connections["pods"]["target"]["averageValue"] == "4000"


def test_devices_meet_the_facades_own_tls_and_their_address_is_kept() -> None:
    """The load balancer passes TCP on, to pods of the same node."""
    release = rendered("everything")
    service = release.one("Service", "rb-facade")["spec"]
    assert (service["type"], service["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert service["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert service["ports"] == [
        {"name": "devices", "port": 443, "targetPort": "devices", "protocol": "TCP"}
    ]
    inner = rendered("behind a proxy, nothing kept, no policies").one("Service", "rb-facade")
    assert "externalTrafficPolicy" not in inner["spec"]


def test_what_a_facade_believes_is_on_a_volume_and_what_it_keeps_may_be() -> None:
    """Both outlive the pod."""
    claims = rendered("the least").one("StatefulSet", "rb-facade")["spec"]
    assert [each["metadata"]["name"] for each in claims["volumeClaimTemplates"]] == [
        "state",
        "cache",
    ]
    kept = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert claims["persistentVolumeClaimRetentionPolicy"] == kept
    without = rendered("behind a proxy, nothing kept, no policies").one("StatefulSet", "rb-facade")
    (state,) = without["spec"]["volumeClaimTemplates"]
    assert state["metadata"]["name"] == "state"
    env = {e["name"]: e["value"] for e in _env(without["spec"]["template"]["spec"])}
    assert env["FACADE_CACHE_MAX_BYTES"] == "0"
    assert "FACADE_CACHE_DIR" not in env


@every_case
def test_every_folder_of_the_programs_is_below_a_mount(case: str) -> None:
    """The folder itself is made by the program: a volume's own may be everybody's."""
    for pod in rendered(case).pods():
        (container,) = pod["containers"]
        mounts = {mount["mountPath"]: mount.get("readOnly") for mount in container["volumeMounts"]}
        volumes = {each["name"] for each in pod["volumes"]} | {"state", "cache"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        for variable in _env(pod):
            name, path = variable["name"], Path(variable["value"])
            if name.endswith("_DIR"):
                assert mounts[str(path.parent)] is None
            elif name.endswith("_FILE"):
                assert mounts[str(path.parent)] is True


# The network.

POLICIES: Final = ("rb-facade", "rb-control-plane", "rb-migrate")


def _metadata_addresses() -> list[IPv4Address | IPv6Address]:
    """Return those that the product never asks, and those that clouds' pages name."""
    named = ["169.254.169.254", "fd00:ec2::254", "fd20:ce::254"]
    return [ip_address(each) for each in named] + [network[0] for network in METADATA]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", ["the least", "everything", "networks of their own"])
def test_metadata_addresses_are_never_reached(case: str, policy: str) -> None:
    """On no port."""
    egress = rendered(case).egress(policy)
    assert egress.rules
    assert [each for each in _metadata_addresses() if egress.reaches(each)] == []


def test_registries_and_the_database_are_reached_on_their_ports() -> None:
    """And nothing else is; a migration has the database alone."""
    somewhere, inside = ip_address("198.51.100.7"), ip_address("10.1.2.3")
    egress = rendered("the least").egress("rb-facade")
    assert egress.reaches(somewhere, 443)
    assert egress.reaches(ip_address("2001:db8::7"), 443)
    assert egress.reaches(somewhere, 5432)
    assert not egress.reaches(somewhere, 80)
    assert not egress.reaches(somewhere, 53)
    migration = rendered("the least").egress("rb-migrate")
    assert migration.reaches(somewhere, 5432)
    assert not migration.reaches(somewhere, 443)
    own = rendered("networks of their own").egress("rb-control-plane")
    assert own.reaches(inside, 6432)
    assert not own.reaches(inside, 443)
    assert own.reaches(ip_address("169.1.1.1"), 5000)
    assert not own.reaches(somewhere, 443)


def test_an_empty_list_is_nobody() -> None:
    """To Kubernetes it would be everybody."""
    release = rendered("nobody is reached")
    for policy in POLICIES:
        spec = release.one("NetworkPolicy", policy)["spec"]
        assert not spec["egress"]
        assert not spec["ingress"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]


def test_each_policy_is_of_its_pods_alone() -> None:
    """And every pod has one."""
    release = rendered("the least")
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in release.of_kind("Deployment", "StatefulSet", "Job")
    }
    for policy in POLICIES:
        chosen = release.one("NetworkPolicy", policy)["spec"]["podSelector"]["matchLabels"]
        assert [name for name, labels in pods.items() if chosen.items() <= labels.items()] == [
            policy
        ]


def test_who_may_ask_the_processes() -> None:
    """Devices the one port, Prometheus the other; of the control plane only who is named."""
    facade = rendered("everything").one("NetworkPolicy", "rb-facade")["spec"]["ingress"]
    assert [rule["ports"][0]["port"] for rule in facade] == ["devices", "operations"]
    (plane,) = rendered("everything").one("NetworkPolicy", "rb-control-plane")["spec"]["ingress"]
    assert [peer["namespaceSelector"]["matchLabels"] for peer in plane["from"]] == [
        {"team": "platform"},
        {"kubernetes.io/metadata.name": "monitoring"},
    ]


Network = IPv4Network | IPv6Network


def _around(network: Network) -> list[Network]:
    """Return a network and all that it lies in."""
    return [network.supernet(new_prefix=length) for length in range(network.prefixlen + 1)]


def _is_metadata(network: Network) -> bool:
    same = [net for net in METADATA if net.version == network.version]
    return any(network.subnet_of(net) for net in same)  # type: ignore[arg-type] # of one version


def _blocks(*networks: str) -> list[Json]:
    values = merged(LEAST, {"networkPolicy": {"registries": {"networks": [*networks]}}})
    rule = Rendered.of(values).egress("rb-facade").rules[-1]
    return [peer["ipBlock"] for peer in rule["to"]]


_ADDRESSES: Final = st.builds(IPv4Address, st.integers(0, 2**32 - 1)) | st.builds(
    IPv6Address, st.integers(0, 2**128 - 1)
)
_NETWORKS: Final = st.builds(
    lambda address, length: ip_network((address, min(length, address.max_prefixlen)), strict=False),
    _ADDRESSES,
    st.integers(0, 128),
).filter(lambda network: not _is_metadata(network))


def _left_out_as_it_must_be(networks: list[Network], texts: list[str]) -> None:
    """What Kubernetes wants of an exception: it lies within its network, and is not the whole."""
    for network, block in zip(networks, _blocks(*texts), strict=True):
        same = [net for net in METADATA if net.version == network.version]
        left_out = {ip_network(each) for each in block.get("except", ())}
        assert left_out == {net for net in same if net.subnet_of(network)}  # type: ignore[arg-type]


def test_every_network_around_a_metadata_address_leaves_it_out() -> None:
    """Whole, short, and written out; those next to it have nothing to leave out."""
    around = {each for net in METADATA for each in _around(net) if not _is_metadata(each)}
    networks = sorted(around, key=str)
    _left_out_as_it_must_be(networks, [str(each) for each in networks])
    _left_out_as_it_must_be(networks, [each.exploded for each in networks])


@settings(max_examples=10)  # each renders the chart
@given(st.lists(_NETWORKS, min_size=1, max_size=30))
def test_whatever_network_is_given_no_metadata_address_is_in_it(networks: list[Network]) -> None:
    """Of both families."""
    _left_out_as_it_must_be(networks, [str(each) for each in networks])


@pytest.mark.parametrize("network", [*map(str, METADATA), "fd00:ec2::254/128", "fd20:ce:0:1::/64"])
def test_a_metadata_address_is_no_network(network: str) -> None:
    """It is refused before anything is installed."""
    with pytest.raises(helm_python.HelmError, match="metadata address"):
        _blocks("10.0.0.0/8", network)


# What is printed, made elsewhere, hooked.


def test_the_chart_is_of_the_products_version() -> None:
    """Its labels say which release runs."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert (chart["appVersion"], chart["version"]) == (project["version"], project["version"])


def test_the_values_of_the_page_are_enough() -> None:
    """And its Secrets have the keys that are read."""
    page = (CHART / "README.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    release = Rendered.of(yaml.safe_load(text))
    made = set(re.findall(r"(?:create secret \w+|create configmap) ([\w-]+)", page))
    keys = set(re.findall(r"--from-file=(?:[\w-]+=|\w+/)?([\w.-]+)", page))
    keys |= set(re.findall(r"--from-file=([\w-]+)=", page))
    for pod in release.pods():
        for volume in pod["volumes"]:
            named = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get(
                "name"
            )
            assert named is None or named in made
        read = [Path(each["value"]) for each in _env(pod) if each["name"].endswith("_FILE")]
        assert {path.name for path in read} <= keys | {"tls.crt", "tls.key"}


def test_the_next_command_is_printed() -> None:
    """After an install and after an upgrade, of names that there are."""
    notes = rendered("the least").notes
    assert "exec deploy/rb-control-plane -- control-plane operators add" in notes
    assert "port-forward service/rb-control-plane 8080:443" in notes
    again = Rendered.of(LEAST, upgrade=True).notes
    assert "rollout status statefulset/rb-facade" in again


def test_the_schema_is_migrated_before_anything_else_is_changed() -> None:
    """By hooks, in an order: what the job needs is there before it."""
    release = rendered("everything")
    hooked = {
        (each["kind"], each["metadata"]["name"]): each["metadata"]["annotations"]
        for each in release.manifests
        if "helm.sh/hook" in each["metadata"].get("annotations", {})
    }
    assert {each["helm.sh/hook"] for each in hooked.values()} == {"pre-install,pre-upgrade"}
    weights = {name: int(each["helm.sh/hook-weight"]) for name, each in hooked.items()}
    job = weights.pop(("Job", "rb-migrate"))
    assert weights.keys() == {("NetworkPolicy", "rb-migrate"), ("ExternalSecret", "migration")}
    assert max(weights.values()) < job
    (container,) = _pod(release, "Job", "rb-migrate")["containers"]
    assert container["args"] == ["migrate"]


def test_secrets_that_others_make_are_those_that_the_pods_read() -> None:
    """cert-manager's and external-secrets' alike."""
    release = rendered("everything")
    made = {each["spec"]["secretName"] for each in release.of_kind("Certificate")}
    made |= {each["spec"]["target"]["name"] for each in release.of_kind("ExternalSecret")}
    read = {
        volume["secret"]["secretName"]
        for pod in release.pods()
        for volume in pod["volumes"]
        if "secret" in volume
    }
    assert made == read


def test_rules_and_dashboards_are_those_of_the_other_folder() -> None:
    """Of one file each, and packed into the archive, too; alerts link to the given runbooks."""
    release = rendered("everything")
    (rule,) = release.of_kind("PrometheusRule")
    here = RULES.read_text().replace("docs/runbooks.md", "https://wiki.corp.example/runbooks.md")
    assert rule["spec"] == yaml.safe_load(here)
    boards: dict[str, str] = {}
    for each in release.of_kind("ConfigMap"):
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        boards |= each["data"]
    assert boards == {path.name: path.read_text() for path in FOLDER.iterdir()}


def test_the_archive_is_whole(tmp_path: Path) -> None:
    """What is packed renders as the folder does: no link leads out of it."""
    archive = helm_python.package(CHART, destination=tmp_path)
    with helm_python.Chart.load(archive) as packed:
        manifests = packed.render(values_of("everything"), name="rb", namespace="prod")
    with helm_python.Chart.load(CHART) as folder:
        assert folder.render(values_of("everything"), name="rb", namespace="prod") == manifests
    with tarfile.open(archive) as members:
        assert all(member.isfile() for member in members)


def test_both_processes_are_scraped_under_the_names_that_the_rules_know() -> None:
    """The control plane with a token of a Secret."""
    release = rendered("everything")
    for name, component in (("rb-facade", "facade"), ("rb-control-plane", "control-plane")):
        monitor = release.one("ServiceMonitor", name)["spec"]
        assert monitor["jobLabel"] == "app.kubernetes.io/component"
        chosen = monitor["selector"]["matchLabels"].items()
        (service,) = (
            each
            for each in release.of_kind("Service")
            if chosen <= each["metadata"]["labels"].items()
        )
        assert service["metadata"]["labels"]["app.kubernetes.io/component"] == component
        ports = {port["name"] for port in service["spec"]["ports"]}
        assert {each["port"] for each in monitor["endpoints"]} <= ports
    (endpoint,) = release.one("ServiceMonitor", "rb-control-plane")["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "scraper", "key": "token"}
    assert endpoint["tlsConfig"]["serverName"] == "registries.corp.example"
