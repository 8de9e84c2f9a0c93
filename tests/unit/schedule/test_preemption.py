"""Queue, worker and gate together: an emergency in a storm of audits (F27)."""

from __future__ import annotations

import threading

from builders import a_job, an_instance
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.domain.events import JobPlaced
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.urgency import Urgency
from lightbox.ports import Step
from lightbox.schedule.gate import Gate
from lightbox.schedule.queues.memory import MemoryQueue
from lightbox.schedule.worker import Worker

PATIENCE = 20.0
CHUNKS = 10
AUDITS = 50


def test_an_emergency_waits_for_at_most_one_chunk_and_the_audit_ends_undisturbed() -> None:
    clock = FakeClock()
    gate = Gate(0.1, clock)
    ledger = FakeLedger(clock)
    queue = MemoryQueue(workers=4)
    audits = [
        a_job(an_instance(str(n)), path=JobPath.AUDIT, urgency=Urgency.AUDIT) for n in range(AUDITS)
    ]
    stat = a_job(an_instance("emergency"), urgency=Urgency.STAT)
    log: list[str] = []
    ended = threading.Semaphore(0)

    def chunk(job: Job, number: int) -> None:
        log.append(f"{job.job_id} {number}")
        if (job, number) == (audits[2], 3):
            queue.place(stat)
            pause = threading.Event()
            while Urgency.STAT not in gate.waiting():
                pause.wait(0.001)

    def run(job: Job, _step: Step) -> None:
        if job.urgency is Urgency.STAT:
            with gate.turn(job.urgency):
                log.append("stat")
        else:
            with gate.turn(job.urgency) as turn:
                for number in range(CHUNKS):
                    chunk(job, number)
                    turn.give_way()
        ended.release()

    for job in (*audits, stat):
        ledger.record(JobPlaced(job))
    queue.serve(Worker(ledger, run, clock).handle)
    for job in audits:
        queue.place(job)
    for _ in range(AUDITS + 1):
        assert ended.acquire(timeout=PATIENCE)
    queue.close(PATIENCE)

    came = log.index("stat")
    assert log[came - 1] == f"{audits[2].job_id} 3"
    assert log[came + 1] == f"{audits[2].job_id} 4"
    assert len(log) == AUDITS * CHUNKS + 1
    assert len(set(log)) == len(log)
