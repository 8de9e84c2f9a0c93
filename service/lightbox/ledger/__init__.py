"""What was written down: one append-only, hash-chained file for each writing process.

Reads: events; at start the last rows of the own chain; for readers every chain in the folder.
Writes: rows, many in one transaction, synced before ``record`` returns.
Refuses: a chain that is damaged, is another's, or has a second writer (``LedgerError``).
Start here: ``sqlite_ledger.py`` (the port), ``chain.py`` (what a row's digest covers),
``prove.py`` (accepted = delivered + listed + in progress, recomputed).
Standard: SHA-256 (FIPS 180-4); accounting as in ``domain/account.py``.
"""
