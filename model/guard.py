"""Run as a script with a command: runs it, and ends its process group when the pipe on stdin is closed.

The kernel closes the pipe with the process that holds its other end, whatever ended that. ``processes.start`` makes
the group.
"""

import os
import signal
import subprocess
import sys
import threading


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    try:
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(126)
    threading.Thread(target=_watch, daemon=True).start()
    status = process.wait()
    os._exit(status if status >= 0 else 128 - status)  # as shells do; nothing waits for the thread
