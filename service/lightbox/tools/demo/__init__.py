"""``lightbox demo``: the whole road on this machine, with real studies and a real archive.

Reads: DICOM files, the model packages.
Writes: a folder with a data directory, previews and a report.
Refuses: to call it done where a study was late or the ledger does not prove.
Start here: ``run.py``.
Standard: none.
"""
