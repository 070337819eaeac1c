# SPDX-License-Identifier: Apache-2.0
"""Shows the engine's figures to Prometheus on a read-only page of this machine's loopback address, if --metrics is
given.

Rules of this file:
1. The page's thread reads the figures that the I/O thread has published; it never calls the engine.
2. The page shows nothing secret: sessions are counted, not named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from matanyone_engine.engine.engine import Figures
from matanyone_engine.errors import SettingError

LOOPBACK = "127.0.0.1"


class MetricsPage:
    """Serves http://127.0.0.1:PORT/metrics."""

    def __init__(self, port: int) -> None:
        """port: 0 takes a free port. Raises SettingError if the port is in use."""
        self._figures: Figures | None = None
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, LOOPBACK, registry)
        except OSError as error:
            raise SettingError(
                expected=f"to serve metrics at {LOOPBACK}:{port}",
                came=str(error),
                action="Choose another port with --metrics PORT.",
            ) from error
        self.address = f"http://{LOOPBACK}:{self._server.server_port}/metrics"

    def publish(self, figures: Figures) -> None:
        """Show these figures from now on."""
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield the figures in Prometheus' format; prometheus_client calls it for each request of the page."""
        if self._figures is not None:
            yield from _families(self._figures)

    def close(self) -> None:
        """Take the page down."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def _families(figures: Figures) -> Iterator[Metric]:
    report = figures.report
    yield InfoMetricFamily(
        "matanyone_engine",
        "The engine that runs.",
        {"version": report.engine, "device": report.device, "epoch": report.epoch},
    )
    yield CounterMetricFamily("matanyone_frames", "Frames computed since the engine started.", report.frames)
    yield CounterMetricFamily("matanyone_device_seconds", "Seconds the device has worked.", figures.device_s)
    yield _labelled(CounterMetricFamily, "matanyone_faults", "Requests refused or failed.", "code", figures.faults)
    phases = Counter(one.phase for one in figures.sessions)
    yield _labelled(GaugeMetricFamily, "matanyone_sessions", "Sessions and jobs by phase.", "phase", phases)
    for name, text, value in (
        ("queued_frames", "Frames between arrival and answer.", report.queued),
        ("promised_bytes", "Device memory that sessions may take, as estimated.", report.memory_bytes),
        ("promised_limit_bytes", "Device memory that may be promised.", report.memory_limit_bytes),
        ("resident_bytes", "Main memory of the process.", report.resident_bytes),
        ("uptime_seconds", "Since the engine started.", report.uptime_s),
        ("progress_age_seconds", "Since the device last began or finished something.", figures.progress_age_s),
        ("busy", "Whether the device works now.", float(report.activity != "idle")),
    ):
        yield GaugeMetricFamily(f"matanyone_{name}", text, value)


def _labelled(kind: Any, name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family: Metric = kind(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)  # type: ignore[attr-defined]
    return family
