"""Engines that hand jobs to a worker; each fits the port ``Queue``.

Reads: jobs (identifier, urgency, deadline).
Writes: its own tables: identifiers, priorities and the short texts that steps return; never
pixels, never a patient.
Refuses: a second executor with the same identity.
Start here: ``memory.py`` (the port in its simplest shape), ``dbos_queue.py`` (durable).
Standard: none; contract: ``tests/contracts/queue.py``.
"""
