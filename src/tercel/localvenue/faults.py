"""Faults on demand: what a test may tell the local venue to do wrong. All of them are off by default.

Plain switches that the venue reads; each does the same thing every time. Called by tests, the simulated network and
the command line.
"""

from __future__ import annotations

__all__ = ["Faults"]


class Faults:
    """Switches of one venue; set them at any time.

    delay_ns: every answer and event on WebSockets leaves so much later; a shell delays HTTP answers by it too.
    maintenance: HTTP requests are answered with 503 and no JSON, WebSocket API requests with status 503; connections
    are refused. reject_orders: so many of the next new orders are refused with `reject_code` and `reject_text`.
    lose_answers: so many of the next new orders are carried out but never answered (HTTP: 504, code -1007, execution
    status unknown). lie_filters: filter type -> fields that exchangeInfo states otherwise than they are enforced.
    clock_offset_ns: added to the venue's idea of the time. duplicate_reports: every executionReport is sent twice.
    late_reports_ns: user data events leave so much later than answers.
    """

    def __init__(self) -> None:
        self.delay_ns = 0
        self.maintenance = False
        self.reject_orders = 0
        self.reject_code = -2010
        self.reject_text = "Account has insufficient balance for requested action."
        self.lose_answers = 0
        self.lie_filters: dict[str, dict[str, str]] = {}
        self.clock_offset_ns = 0
        self.duplicate_reports = False
        self.late_reports_ns = 0
