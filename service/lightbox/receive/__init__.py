"""Step 1 of the road: C-STORE on the wire becomes an instance on disk and in the ledger.

Reads: associations on the DICOM port; bytes of data sets, which are stored as they come.
Writes: files under ``instances/``, ``InstanceStored`` and ``AssociationReleased``; what peers ask
    and report about storage commitment (``commitment.py``).
Refuses: associations by A-ASSOCIATE-RJ or A-ABORT, instances by a DIMSE status (``status.py``).
Start here: ``store.py`` (the door: durable, then acknowledged), then ``listener.py``;
``sweep.py`` tidies up after a crash,
``wire/`` speaks the upper layer, ``header.py`` reads what was stored, later and elsewhere.
Standard: PS3.4 annexes B (storage) and J (storage commitment), PS3.7 (DIMSE), PS3.8 (upper layer), PS3.10 (file format).
"""
