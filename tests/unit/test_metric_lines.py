"""What both processes' metrics are made of."""

from importlib.metadata import version

from control_plane.metrics import ControlPlaneMetrics as Plane
from facade.metrics.metrics import FacadeMetrics as DeviceSide


def test_a_counter_has_no_line_for_when_it_was_made() -> None:
    """The client library writes one for each counter and histogram, and nobody asks for it."""
    plane = Plane()
    plane.denied_logins.inc()
    plane.request_seconds.labels("/v1/audit").observe(1)
    device_side = DeviceSide.create()
    for exposed in (plane.exposition(), device_side.exposition()):
        assert b"_total" in exposed
        assert b"_created" not in exposed


def test_each_program_shows_which_build_it_is() -> None:
    """A fleet that is upgraded in steps is seen in one query."""
    labels = f'{{revision="unknown",version="{version("registry-facade")}"}} 1.0'
    device_side, plane = DeviceSide.create(), Plane()
    assert f"facade_build_info{labels}" in device_side.exposition().decode()
    assert f"control_plane_build_info{labels}" in plane.exposition().decode()


def test_a_facade_shows_what_its_process_and_interpreter_take() -> None:
    """As every program with the client library does: boards for them exist."""
    text = DeviceSide.create().exposition().decode()
    for name in (
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "python_gc_collections_total",
        "python_info",
    ):
        assert f"\n{name}" in text
