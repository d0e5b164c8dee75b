"""gunicorn's threaded worker, with two gaps in its stopping closed."""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker that loses no connection which a client could already take for accepted."""

    def set_accept_enabled(self, enabled: bool) -> None:
        """When stopping, take in what waits in the kernel's queue, then close the port.

        Otherwise the port stays open for as long as the last request takes, clients connect to it, and each of their
        connections is reset in the end. Of a closed port they learn at once, and go elsewhere.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            while self._accept_one(listener):
                pass
            listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Let connections on which nothing was ever asked end as soon as idle ones, and not hold up the stop."""
        super()._cap_keepalive(deadline)
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, deadline)

    def _accept_one(self, listener: Any) -> bool:
        before = self.nr_conns
        self.accept(listener)  # of an empty queue it says nothing
        return bool(self.nr_conns > before)
