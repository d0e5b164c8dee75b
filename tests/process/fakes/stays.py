"""Says that it is up, and then nothing, and opens no port."""

import time

print("up", flush=True)
time.sleep(600)
