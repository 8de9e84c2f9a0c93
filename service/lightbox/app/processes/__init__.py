"""The processes of ``lightbox serve``, and what each of them does beside its steps.

Reads: settings, the ledger's chains, signals, rings at the door.
Writes: starts and stops, metrics, what the worker says of its condition.
Refuses: a second service in one data directory; a configuration that cannot work.
Start here: ``supervisor.py``, then ``roles.py`` (receive), ``controlling.py``, ``working.py``.
Standard: none; POSIX signals.
"""
