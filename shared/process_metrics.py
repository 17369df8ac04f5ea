"""The metrics that every process has: what the library tells of it, and which build runs."""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from shared.build import Build

EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format


def process_registry(program: str) -> CollectorRegistry:
    """Return a registry of its own; `<program>_build_info` in it shows version and commit."""
    # Otherwise each counter has one more line, which nobody reads; the library ships no types.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    build = Info(f"{program}_build", "The version that runs, and its commit", registry=registry)
    build.info(Build.of_this_program().labels())
    return registry
