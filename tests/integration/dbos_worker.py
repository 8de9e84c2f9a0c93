"""A worker process for the tests of the durable queue: it writes down each thing it does.

``python dbos_worker.py FOLDER EXECUTOR MODE``; a line in ``FOLDER/log`` per handled step. Modes:
``plain`` does two steps per job; ``hang`` says so and never ends the second; ``die`` ends the
process in the first step; ``noop`` does nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from lightbox.ports import Step
from lightbox.schedule.queues.dbos_queue import DbosQueue


def main(folder: Path, executor: str, mode: str) -> None:
    """Serve until the process is told to end."""
    stop = threading.Event()
    lock = threading.Lock()

    def say(*words: str) -> None:
        with lock, (folder / "log").open("a") as log:
            log.write(" ".join((str(os.getpid()), *words)) + "\n")

    def work(job_id: str, name: str) -> str:
        say(job_id, name)
        if mode == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "hang" and name == "second":
            say(job_id, "hangs")
            threading.Event().wait(60.0)
        return name

    def handler(job_id: str, step: Step) -> None:
        say(job_id, "starts")
        if mode != "noop":
            for name in ("first", "second"):
                assert step(name, lambda n=name: work(job_id, n)) == name  # type: ignore[misc]  # mypy cannot infer the default
        say(job_id, "ends")

    def give_up(job_id: str, detail: str) -> None:
        say(job_id, "given-up", detail)

    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    queue = DbosQueue(folder / "queue.sqlite", executor, folder, give_up)
    queue.serve(handler)
    say("serving")
    stop.wait(120.0)
    queue.close(0.0 if mode == "hang" else 5.0)
    say("closed")
    os._exit(0)  # a job that hangs has a thread that hangs


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
