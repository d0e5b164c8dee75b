"""Locust's CSV and HTML reports, complete however the load ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import locust.stats
from locust.env import Environment
from locust.html import get_html_report

if not hasattr(locust.stats, "StatsCSVFileWriter"):
    sys.exit("locust changed: its CSV writer can no longer be made to write the last second of a load")


class CompleteCsv(locust.stats.StatsCSVFileWriter):
    """Locust brings its CSV files up to date once a second and then just closes them: what came last would be missing."""

    def close_files(self) -> None:
        """Write everything once more, then close. Locust may end twice at SIGTERM; the second time finds them closed."""
        if self.requests_csv_filehandle.closed:
            return
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
        # In the second after the last one that was written, also where both fall into the same.
        self._stats_history_data_rows(self.stats_history_csv_writer, self._last_written + 1)
        super().close_files()

    _last_written = 0.0

    def _stats_history_data_rows(self, csv_writer: Any, now: float) -> None:
        self._last_written = now
        super()._stats_history_data_rows(csv_writer, now)


def complete_csv() -> None:
    """Have the CSV files completed at the end; to be called while Locust loads its locustfile, before it makes its writer."""
    locust.stats.StatsCSVFileWriter = CompleteCsv


def complete_html(environment: Environment, html_file: str | None) -> None:
    """Have the HTML report written at the end: Locust does so at Ctrl-C and at the time limit, and forgets it at SIGTERM."""
    if html_file:
        environment.events.quit.add_listener(
            lambda **_: Path(html_file).write_text(get_html_report(environment, show_download_link=False), encoding="utf-8")
        )
