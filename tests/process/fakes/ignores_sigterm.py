"""Ignores SIGTERM, and says that it is up once it does."""

import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    time.sleep(60)
