"""The ``lightbox`` command: one file per subcommand.

Reads: arguments, the configuration, and the files of a data directory.
Writes: tables on a terminal, JSON with ``--json``, progress and complaints on stderr.
Refuses: wrong use in one line, exit 2; a negative answer is exit 1; a traceback needs ``--debug``.
Start here: ``main.py`` (all names, exit codes), ``invocation.py`` (what every command is given).
Standard: POSIX utility conventions; ``NO_COLOR``.
"""
