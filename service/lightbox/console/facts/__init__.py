"""What the console's pages show, taken from the running service, one subject a file.

Reads: the account and the desk under control's lock, model packages, settings, the ledger's files.
Writes: nothing.
Refuses: secrets: keys of the configuration that hold one are left out.
Start here: ``../view.py``, which joins them to ``ConsoleSources``.
Standard: none.
"""
