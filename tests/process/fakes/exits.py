"""Says its words, one a line, waits <delay> seconds and exits with <code>."""

import sys
import time

code, delay, *words = sys.argv[1:]
for word in words:
    print(word, flush=True)
time.sleep(float(delay))
sys.exit(int(code))
