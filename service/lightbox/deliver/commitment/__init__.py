"""Storage commitment: "sent" becomes "kept", and the same promise to those who send to us.

Reads: rows of the ledger: what was stored, what peers report, what peers ask us to keep.
Writes: ``CommitmentAsked`` (before it is asked), ``Committed``, ``CommitmentFailed``,
    ``DeadLettered`` ("stored but not committed"), ``CommitmentAnswered``.
Refuses: to believe silence; to promise a file whose hash is not the ledger's.
Start here: ``ask.py`` (we are SCU), ``report.py`` (we are SCP); ``book.py`` is what is open, as a
    value, ``wire.py`` the messages.
Standard: PS3.4 annex J, PS3.3 C.14 (failure reasons), PS3.7 10 (N-ACTION, N-EVENT-REPORT).
"""
