"""What things are and which rules hold: pure values and functions, no I/O, no clock.

Reads: nothing but its arguments. Time comes in as a number of seconds since 1970 (UTC).
Writes: nothing; rules return values.
Refuses: what cannot be right, by the errors of ``errors.py``.
Start here: ``events.py`` (what can happen), ``study.py`` and ``jobs.py`` (what it happens to).
Standard: names are DICOM keywords in snake case (PS3.6).
"""
