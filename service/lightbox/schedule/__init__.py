"""Step 3: ready units become jobs, and jobs get their turn on the device by urgency.

Reads: ``StudyReady``; for audits the fast job and the reason.
Writes: ``JobPlaced`` (identifier, deadline, what it supersedes), then hands the job to a queue;
``JobStarted`` and, where a job cannot be done, ``JobFailed`` with a reason from a closed set.
Refuses: a job that the ledger does not know; a second process with the same identity.
Start here: ``place.py`` (a job comes to be), ``worker.py`` (it is done), ``gate.py`` (who is
next on the device), ``queues/`` (engines; the ledger is the truth, a queue only a hand).
Standard: none; deadlines count from the last byte received to stored in the archive.
"""
