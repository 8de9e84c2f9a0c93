"""Taking up a changed configuration without a restart.

Reads: the configuration file again, when ``lightbox config reload`` or SIGHUP asks for it.
Writes: ``configuration.json`` in the data directory (what was accepted), ``ConfigurationTaken``.
Refuses: a file with an error in it; the old configuration stays in force.
Start here: ``live.py`` (what can change), then ``accepted.py``, then ``renewal.py``.
Standard: none.
"""
