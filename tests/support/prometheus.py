"""A real Prometheus and a real Alertmanager on loopback, and what they are asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import orjson
import yaml
from attrs import frozen

from deploy.dev.debian import program
from deploy.dev.loopback import ask
from deploy.dev.processes import Child, free_port

Json = dict[str, Any]

READY_SECONDS: Final = 60.0
OK: Final = 200
INTERVAL: Final = "1s"


@frozen
class Scraped:
    """One process, scraped at its address; the control plane wants a token."""

    address: str
    token: str | None = None

    def job(self, name: str) -> Json:
        """Return the part of Prometheus' configuration."""
        job: Json = {"job_name": name, "static_configs": [{"targets": [self.address]}]}
        if self.token:
            job["authorization"] = {"credentials": self.token}
        return job


def start_alertmanager(folder: Path, webhook: str) -> tuple[Child, str]:
    """Return an Alertmanager that calls the webhook at once, and its address."""
    port = free_port()
    configuration = {
        "route": {"receiver": "webhook", "group_wait": "0s", "group_interval": INTERVAL},
        "receivers": [{"name": "webhook", "webhook_configs": [{"url": webhook}]}],
    }
    (folder / "alertmanager.yml").write_text(yaml.dump(configuration))
    address = f"127.0.0.1:{port}"
    child = Child.start(
        [
            program("prometheus-alertmanager", "prometheus-alertmanager"),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ],
        log=folder / "alertmanager.log",
    )
    child.wait_until(lambda: _answers(f"http://{address}/-/ready"), READY_SECONDS)
    return child, address


@frozen
class Prometheus:
    """A running Prometheus. Alertmanager is started before it: else its first alert waits."""

    child: Child
    url: str

    @classmethod
    def start(
        cls, folder: Path, jobs: Mapping[str, Scraped], rules: Path, alertmanager: str
    ) -> Self:
        """Scrape and judge each second."""
        address = f"127.0.0.1:{free_port()}"
        configuration = {
            "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": [str(rules)],
            "scrape_configs": [scraped.job(name) for name, scraped in jobs.items()],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        }
        path = folder / "prometheus.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.dump(configuration))
        child = Child.start(
            [
                program("prometheus", "prometheus"),
                f"--config.file={path}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={address}",
            ],
            log=folder / "prometheus.log",
        )
        child.wait_until(lambda: _answers(f"http://{address}/-/ready"), READY_SECONDS)
        return cls(child, f"http://{address}")

    async def query(self, expression: str) -> list[Json]:
        """Return the series that an expression has now; AssertionError if it is refused."""
        answer = await self._get("/api/v1/query", query=expression)
        assert answer["status"] == "success", (expression, answer)
        result: list[Json] = answer["data"]["result"]
        return result

    async def names(self) -> set[str]:
        """Return every name of a series that it has."""
        answer = await self._get("/api/v1/label/__name__/values")
        return set(answer["data"])

    async def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        answer = await self._get("/api/v1/alerts")
        alerts = answer["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    async def _get(self, path: str, **query: str) -> Json:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}{path}", params=query) as answer,
        ):
            return dict(orjson.loads(await answer.read()))


def _answers(url: str) -> bool:
    try:
        with ask(url) as answer:
            return answer.status == OK
    except OSError:
        return False
