"""Settings become parts, parts become processes; the only place where steps meet.

Reads: settings, and every step's door.
Writes: nothing of its own; the doors record their events in the ledger.
Refuses: a data directory or a port that is in use, a configuration that cannot work.
Start here: ``road.py`` (which event leads to which door), then ``roles.py`` (the processes).
Standard: none; ``catalogue.py`` is the page of everything that can be plugged in.
"""
