"""A process with a supervisor of its own, to be killed or interrupted from outside.

Arguments: the log folder, the mark, and the component that never becomes ready if ``start`` is to hang, else ``-``.
"""

import signal
import sys
from pathlib import Path

from fakes.stage import Stage
from harness.errors import HarnessError
from harness.supervisor.plan import Plan
from harness.supervisor.supervisor import Supervisor

stage = Stage(Path(sys.argv[1]), mark=sys.argv[2])
components = [stage.up("plain", "stays.py"), stage.up("parent", "forks_grandchild.py", needs=("plain",))]
if sys.argv[3] == "hangs":
    components.append(stage.up("never", "stays.py", needs=("parent",), pattern="never said"))
plan: Plan = stage.plan(*components)
with Supervisor(plan, stage.logs, lambda event: print(event.component, event.state, flush=True)) as supervisor:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.request_stop())
    try:
        supervisor.start()
    except HarnessError as error:
        print(error, flush=True)
        sys.exit(error.exit_code)
    print("all ready", flush=True)
    supervisor.wait(60)
