"""Locust's CSV and HTML reports, complete however the load ends."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import gevent.event
import locust.stats
from locust.env import Environment
from locust.html import get_html_report

if not hasattr(locust.stats, "StatsCSVFileWriter"):
    sys.exit("locust changed: its CSV writer can no longer be made to write the last second of a load")


class CompleteCsv(locust.stats.StatsCSVFileWriter):
    """Locust brings its CSV files up to date once a second and then just closes them: what came last would be missing.

    They are completed at `test_stop`, when the last user has ended. Later is too late: saving the JSON file clears the
    statistics of each route.
    """

    def __init__(self, environment: Environment, *args: Any, **kwargs: Any) -> None:
        super().__init__(environment, *args, **kwargs)
        environment.events.test_stop.add_listener(self.complete)

    def complete(self, **_: object) -> None:
        """Write every number once more, as it is now."""
        for file, write in (
            (self.requests_csv_filehandle, lambda: self.requests_csv(self.requests_csv_writer)),
            (self.failures_csv_filehandle, lambda: self.failures_csv(self.failures_csv_writer)),
            (self.exceptions_csv_filehandle, lambda: self.exceptions_csv(self.exceptions_csv_writer)),
        ):
            file.seek(0)
            write()
            file.truncate()
        if not self.stats_history_csv_filehandle.tell():
            self.stats_history_csv_writer.writerow(self.stats_history_csv_columns)
        self._stats_history_data_rows(self.stats_history_csv_writer, time.time())
        self.stats_history_flush()


def complete_csv() -> None:
    """Have the CSV files completed at the end, and the history of the charts kept by the second.

    To be called while Locust loads its locustfile, before it makes its writer.
    """
    locust.stats.StatsCSVFileWriter = CompleteCsv
    # One of Locust's documented settings: at its own 5 s a spike is hardly seen in the charts, and a short load not at all.
    locust.stats.HISTORY_STATS_INTERVAL_SEC = 1


def complete_html(environment: Environment, html_file: str | None) -> None:
    """Have the HTML report written at the end: Locust does so at Ctrl-C and at the time limit, and forgets it at SIGTERM."""
    if html_file:
        environment.events.test_stop.add_listener(
            lambda **_: Path(html_file).write_text(get_html_report(environment, show_download_link=False), encoding="utf-8")
        )


def end_once(environment: Environment) -> None:
    """Have one end alone: each SIGTERM begins another, and the time limit one more, while users still wait for their answers.

    A second end would write an empty count over the first one's, because saving the JSON file clears the statistics. Whoever
    comes later stands still here, until the first one ends the process.
    """
    begun = False

    def wait_unless_first(**_: object) -> None:
        nonlocal begun
        if begun:
            gevent.event.Event().wait()
        begun = True

    environment.events.quitting.add_listener(wait_unless_first)
