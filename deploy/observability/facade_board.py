"""The dashboard "Facade": what devices get from the facades, and what it costs these."""

from typing import Final

from deploy.observability.grafana import Board, Graph, Line, Number, Row

_HERE: Final = 'namespace=~"$namespace",instance=~"$instance"'
_RATE: Final = "[$__rate_interval]"


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_HERE}{more}}}{_RATE}))"


def _quantile(quantile: float, metric: str, by: str) -> str:
    return f"histogram_quantile({quantile}, {_rate(f'{metric}_bucket', f'{by}, le')})"


_GIVEN: Final = _rate("facade_device_bytes_total", "job")
_FETCHED: Final = _rate("facade_upstream_bytes_total", "job")
_FAILED: Final = _rate("facade_pulls_total", "job", ',outcome="failed"')
_HITS: Final = ',outcome="served",source=~"memory|store|arriving"'

DEVICES: Final = Row(
    "What devices get",
    (
        Number(
            "Bytes saved",
            "percentunit",
            f"1 - sum(increase(facade_upstream_bytes_total{{{_HERE}}}[$__range]))"
            f" / (sum(increase(facade_device_bytes_total{{{_HERE}}}[$__range])) > 0)",
            "Of the bytes that devices got in the time shown, those that no registry sent.",
        ),
        Number(
            "Hits",
            "percentunit",
            f"sum(increase(facade_pulls_total{{{_HERE}{_HITS}}}[$__range]))"
            f' / (sum(increase(facade_pulls_total{{{_HERE},outcome="served"}}[$__range])) > 0)',
            "Of the pulls that were served, those for which the registry did not have to be asked.",
        ),
        Number("To devices", "Bps", _GIVEN),
        Number("From registries", "Bps", _FETCHED),
        Number(
            "Connections",
            "short",
            f"sum(facade_device_connections{{{_HERE}}})",
        ),
        Number(
            "Pulls that fail",
            "percentunit",
            f"{_FAILED} / ({_rate('facade_pulls_total', 'job')} > 0)",
            "Answered 5xx.",
            bad_from=0.05,
        ),
        Graph(
            "Bytes",
            "Bps",
            (Line(_GIVEN, "to devices"), Line(_FETCHED, "from registries")),
            "What is between the two lines was saved.",
        ),
        Graph(
            "Pulls by outcome",
            "reqps",
            (Line(_rate("facade_pulls_total", "outcome"), "{{outcome}}"),),
            "refused: 4xx; failed: 5xx; aborted: the answer was cut, or its device left.",
            stacked=True,
        ),
        Graph(
            "Pulls by source",
            "reqps",
            (Line(_rate("facade_pulls_total", "source", ',outcome="served"'), "{{source}}"),),
            "arriving: another pull had begun to bring it.",
            stacked=True,
        ),
        Graph(
            "Time to answer",
            "s",
            (
                Line(_quantile(0.5, "facade_answer_seconds", "kind"), "{{kind}} median"),
                Line(_quantile(0.99, "facade_answer_seconds", "kind"), "{{kind}} 99 of 100"),
            ),
            "From the request's headers to the last byte: a blob takes as long as its device.",
        ),
        Graph(
            "Refused by rule",
            "reqps",
            (Line(_rate("facade_refused_total", "reason"), "{{reason}}"),),
            "The facade's own rules, whatever the registry would say.",
        ),
        Graph(
            "Not asked of registries",
            "reqps",
            (Line(_rate("facade_not_asked_total", "reason"), "{{reason}}"),),
            "Pulls that needed a registry, and were answered without asking it.",
        ),
    ),
)

CONNECTIONS: Final = Row(
    "Devices at the door",
    (
        Graph(
            "Connections of devices",
            "short",
            (
                Line(f"sum by (instance) (facade_device_connections{{{_HERE}}})", "{{instance}}"),
                Line(f"sum(facade_device_handshakes{{{_HERE}}})", "handshakes under way"),
            ),
        ),
        Graph(
            "Handshakes refused",
            "reqps",
            (Line(_rate("facade_device_handshakes_refused_total", "reason"), "{{reason}}"),),
        ),
        Graph(
            "Connections cut, and how fast",
            "short",
            (
                Line(_rate("facade_device_connections_cut_total", "reason"), "{{reason}} a second"),
                Line(
                    _quantile(0.99, "facade_device_revocation_seconds", "job"),
                    "seconds from a revocation to the cut, 99 of 100",
                ),
            ),
        ),
    ),
)

STORE: Final = Row(
    "The store",
    (
        Graph(
            "What takes room",
            "bytes",
            (
                Line(f"sum by (state) (facade_store_bytes{{{_HERE}}})", "{{state}}"),
                Line(f"sum(facade_store_limit_bytes{{{_HERE}}})", "quota"),
            ),
            "Processes of one machine have one store, and each shows it.",
        ),
        Graph(
            "Evicted",
            "Bps",
            (Line(_rate("facade_store_evicted_bytes_total", "why"), "{{why}}"),),
            "room: an arrival waited; ahead: for what comes next; disk: fuller than the quota.",
        ),
        Graph(
            "Age of the blob that goes next",
            "s",
            (
                Line(
                    f"time() - facade_store_oldest_use_timestamp_seconds{{{_HERE}}}", "{{instance}}"
                ),
            ),
            "Since it was last used. A few hours only, while something is evicted: the store is too"
            " small.",
        ),
        Graph(
            "Downloads, and who reads along",
            "short",
            (
                Line(f"sum(facade_downloads{{{_HERE}}})", "downloads"),
                Line(f"sum(facade_followers{{{_HERE}}})", "answers that follow an arrival"),
            ),
        ),
        Graph(
            "Verified again",
            "Bps",
            (Line(_rate("facade_store_scrubbed_bytes_total", "instance"), "{{instance}}"),),
        ),
        Graph(
            "Passed on, because the store could not keep it",
            "reqps",
            (Line(_rate("facade_store_not_kept_total", "why"), "{{why}}"),),
        ),
        Graph(
            "Found rotten, and failures of the index",
            "short",
            (
                Line(
                    f"sum by (found_by) (increase(facade_store_rotten_blobs_total{{{_HERE}}}[1h]))",
                    "rotten, found by {{found_by}}, in an hour",
                ),
                Line(
                    f"sum(increase(facade_store_index_failures_total{{{_HERE}}}[1h]))",
                    "failures of the index in an hour",
                ),
            ),
        ),
    ),
)

PROCESS: Final = Row(
    "The processes",
    (
        Graph(
            "CPU",
            "percentunit",
            (
                Line(
                    f'rate(process_cpu_seconds_total{{job="facade",{_HERE}}}{_RATE})',
                    "{{instance}}",
                ),
            ),
            "Of one core, which is what a process uses.",
        ),
        Graph(
            "Memory",
            "bytes",
            (Line(f'process_resident_memory_bytes{{job="facade",{_HERE}}}', "{{instance}}"),),
        ),
        Graph(
            "Descriptors in use",
            "percentunit",
            (
                Line(
                    f'process_open_fds{{job="facade",{_HERE}}}'
                    f' / process_max_fds{{job="facade",{_HERE}}}',
                    "{{instance}}",
                ),
            ),
        ),
        Graph(
            "Lateness of the event loop",
            "s",
            (Line(f"facade_loop_lag_seconds{{{_HERE}}}", "{{instance}}"),),
            "The worst since the scrape before.",
        ),
        Graph(
            "What is wrong",
            "short",
            (Line(f"facade_problem{{{_HERE}}} == 1", "{{instance}}: {{part}}"),),
            "/readyz says it in words.",
        ),
        Graph(
            "Unforeseen failures",
            "short",
            (
                Line(
                    f"sum by (work) (increase(facade_background_failures_total{{{_HERE}}}[1h]))",
                    "{{work}}, in an hour",
                ),
            ),
        ),
    ),
)

FACADE: Final = Board(
    uid="registry-backends-facade",
    title="Facade",
    says="What devices get from the facades, and what it costs these.",
    job="facade",
    rows=(DEVICES, CONNECTIONS, STORE, PROCESS),
)
