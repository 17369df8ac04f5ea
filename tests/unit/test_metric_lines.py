"""What both processes' metrics are made of."""

import control_plane.metrics
import facade.metrics


def test_a_counter_has_no_line_for_when_it_was_made() -> None:
    """The client library writes one for each counter and histogram, and nobody asks for it."""
    plane = control_plane.metrics.Metrics()
    plane.denied_logins.inc()
    plane.request_seconds.labels("/v1/audit").observe(1)
    device_side = facade.metrics.Metrics.create()
    for exposed in (plane.exposition(), device_side.exposition()):
        assert b"_total" in exposed
        assert b"_created" not in exposed
