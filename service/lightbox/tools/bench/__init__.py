"""``lightbox bench``: one file for each thing that is measured, side by side with others.

Reads: model packages, samples, the programs of others where they are installed.
Writes: cases (``report.py``) and nothing that stays.
Refuses: a figure where a contestant did not do its work.
Start here: ``report.py``, then ``fast.py``.
Standard: none.
"""
