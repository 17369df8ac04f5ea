"""distribution as a pull-through cache, on one core."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from deploy.dev import debian
from deploy.dev.device_ca import CertificateFiles
from deploy.dev.processes import Child, free_port, port_answers
from tests.bench.contenders.contender import Contender


@contextmanager
def distribution(
    folder: Path, *, upstream_url: str, server: CertificateFiles, device_ca: Path
) -> Iterator[Contender]:
    """Run distribution before `upstream_url`.

    The URL bears user and password: of a login by `proxy.username` it knows tokens alone.
    """
    folder.mkdir()
    port = free_port()
    configuration = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},  # its other log has the same
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "content")},
            "cache": {"blobdescriptor": "inmemory"},
        },
        "http": {
            "addr": f"127.0.0.1:{port}",
            "secret": "of no worth on one machine",
            "tls": {
                "certificate": str(server.certificate),
                "key": str(server.key),
                "clientcas": [str(device_ca)],
                "minimumtls": "tls1.3",
            },
        },
        "proxy": {"remoteurl": upstream_url},
    }
    path = folder / "registry.json"
    path.write_bytes(orjson.dumps(configuration))  # JSON is YAML
    environment = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none", "GOMAXPROCS": "1"}
    program = debian.program("docker-registry", "docker-registry")
    child = Child.start([program, "serve", path], log=folder / "log", environment=environment)
    try:
        child.wait_until(lambda: port_answers(port))
        yield Contender("distribution", port, (child,))
    finally:
        child.stop()
