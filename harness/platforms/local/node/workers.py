"""A few daemon threads that take jobs in order: unlike an executor's, they never keep the agent from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Workers:
    """`count` threads for jobs that may block. A job must not raise what it expects; anything else goes to `log` as one line."""

    def __init__(self, name: str, count: int, log: Callable[[str], None]) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._log = log
        for i in range(count):
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Run the job as soon as a thread is free."""
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            run_logged(self._jobs.get(), self._log)


def run_logged(job: Callable[[], None], log: Callable[[str], None]) -> None:
    """Run the job; an error in it is a fault of this program, told in one line instead of a silent dead thread."""
    try:
        job()
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        log(f"fault in the node agent: {type(error).__name__}: {error} ({where}); please report it")
