"""What ``lightbox doctor`` asks, one file per neighbourhood.

Reads: the configuration, the data directory, the ledger, model packages, and what the
destinations and our own listener answer.
Writes: ``Finding`` values; nothing on the disk, nothing in the ledger.
Refuses: nothing: what cannot be asked is itself a finding, with its mend.
Start here: ``finding.py`` (one answer), ``destinations.py`` (C-ECHO there), ``way_back.py`` (C-ECHO
to us), then ``security.py``; ``tools/doctor.py`` asks them all.
Standard: PS3.4 A (verification), PS3.8 9.3 (why an association is rejected).
"""
