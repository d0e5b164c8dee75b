"""Starts a grandchild that ignores SIGTERM, says that it is up, and ends on SIGTERM without a thought for it.

With the argument ``own-session`` the grandchild also leaves the process group.
"""

import os
import signal
import sys
import time

said, saying = os.pipe()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "own-session" in sys.argv:
        os.setsid()
    os.write(saying, b".")
    time.sleep(600)
    os._exit(0)
os.read(said, 1)
print("up", flush=True)
time.sleep(600)
