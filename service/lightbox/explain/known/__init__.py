"""Audits that are known already: nothing is computed twice for the same image bytes.

Reads: what an audit depends on, all of it (``identity.py``), and finished attributions.
Writes: one file a finished audit, arrays and numbers, no name and no UID of a patient or study.
Refuses: an entry that is damaged, or of which anything differs: the audit is computed then.
Start here: ``audits.py``.
Standard: none.
"""
