"""Says its words, one a line, waits <delay> seconds, or until there is a file of that name, and exits with <code>."""

import os
import sys
import time

code, delay, *words = sys.argv[1:]
for word in words:
    print(word, flush=True)
if os.path.isabs(delay):  # noqa: PTH117  (pathlib takes longer to import than all the rest)
    while not os.path.exists(delay):  # noqa: PTH110
        time.sleep(0.01)
else:
    time.sleep(float(delay))
sys.exit(int(code))
