"""The benchmark itself: it must not rot until somebody wants its figures."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from deploy.dev.debian import REPOSITORY
from deploy.dev.device_ca import CertificateFiles
from tests.bench.contenders.nginx import nginx

MEASURE_SECONDS = 240.0  # on a loaded machine
MOST_OF_RANGES = 1.1  # bytes to the device, of what it asked for
WITH_HEADS = 1.05  # a MiB, with the heads of 32 answers at most
MOST_UPSTREAM = 40.0  # each range of a MiB was asked for as the whole, and some again


def test_a_small_measure_prints_a_table_and_keeps_every_round(tmp_path: Path) -> None:
    """All three servers, their certificates and caches, and the generators have their part.

    A congestion control that no kernel has ends nothing; the first line says what there was.
    """
    result = tmp_path / "result.json"
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "tests.bench"),
            *("--only", "warm", "--only", "storm", "--only", "parallel", "--only", "segments"),
            *("--only", "many-ranges", "--only", "cold"),
            *("--rounds", "1", "--size", "1MiB", "--fleet", "24", "--workers", "4"),
            *("--congestion", "no-such", "--json", result),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=MEASURE_SECONDS,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "warm blob: throughput" in answer.stdout
    written = orjson.loads(result.read_bytes())
    had = written["machine"]["network"]["congestion_control"]
    assert f"cores, {had} (no-such cannot be had) in " in answer.stdout.splitlines()[0]
    figures = {figure["key"]: figure for figure in written["figures"]}
    assert {server: len(values) for server, values in figures["warm.rate"]["rounds"].items()} == {
        "facade": 1,
        "nginx": 1,
        "distribution": 1,
    }
    assert_nothing_failed(figures)
    assert figures["cold.upstream"]["rounds"]["facade"] == [1.0]
    for key in ("many_ranges.cold", "many_ranges.warm"):
        assert figures[key]["rounds"]["facade"][0] < MOST_OF_RANGES


def assert_nothing_failed(figures: dict[str, Any]) -> None:
    """Counts are right at any load: what each device got, and what the registry was asked for."""
    for key in ("storm.24", "parallel.closed_4", "parallel.open_4"):
        failures = figures[f"{key}.failures"]["rounds"]
        assert failures["facade"] == [0], key
        assert failures["nginx"] == [0], key
    for key in ("parallel.closed_4", "parallel.open_4", "segments"):
        upstream = figures[f"{key}.upstream"]["rounds"]
        assert upstream.keys() == {"facade", "nginx", "nginx-slice", "distribution"}
        # Each server has asked for the whole blob, and heads of answers count, too.
        assert all(1.0 <= factor < MOST_UPSTREAM for [factor] in upstream.values()), upstream
        assert upstream["nginx"][0] < WITH_HEADS
        assert upstream["nginx-slice"][0] < WITH_HEADS


def test_nginx_runs_from_a_checkout_whose_path_has_a_space(
    tmp_path: Path, server_certificate: CertificateFiles
) -> None:
    """Its configuration takes a space for the end of a value."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    files = CertificateFiles(folder / "server.pem", folder / "server.key")
    shutil.copy(server_certificate.certificate, files.certificate)
    shutil.copy(server_certificate.key, files.key)
    with nginx(
        folder / "nginx",
        upstream="127.0.0.1:1",
        authorization="Basic none",
        server=files,
        device_ca=files.certificate,
    ) as contender:
        contender.require_running()


def test_what_is_no_measure_is_a_wrong_call() -> None:
    """Status 2, as everywhere."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--only", "nothing"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "'nothing' is not one of" in answer.stderr
