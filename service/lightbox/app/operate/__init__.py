"""What people ask of a running service, and how their question reaches it.

Reads: requests of commands and of the console, files that stop a model.
Writes: events of operators, and what comes of them.
Refuses: what cannot be done now, with the reason in one line.
Start here: ``operations.py``; ``letterbox.py`` is the way in, ``switch.py`` works without any.
Standard: none.
"""
