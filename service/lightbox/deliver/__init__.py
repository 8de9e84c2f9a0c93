"""Step 7: DICOM objects → stored in the PACS, however long that takes.

Reads: result files on disk (their hash is checked before each sending) and, at start, the
    ledger's rows of what has not arrived yet (``outbox.py``: ``still_to_send``).
Writes: ``Delivered``, ``DeliveryDelayed``, ``NotTaken`` and ``DeadLettered`` to the ledger, and
    the events of storage commitment (``domain/commitment.py``).
Refuses: a result file that changed on disk, a status that will not change by itself
    (``status.py``: one table of every answer and what follows from it).
Start here: ``send.py`` (the door), then ``outbox.py`` (what goes next, as a pure value),
    ``cstore.py`` and ``stow.py`` (the two kinds of destination), ``association.py`` and
    ``connection.py`` (the wire).
    Storage commitment, both ways, has a folder of its own: ``commitment/``; so have the programs
    that are told what happens: ``webhooks/``.
Standard: PS3.4 B (storage) and J (storage commitment), PS3.7 9.1.1 and C (statuses), PS3.8 9.3.4 (rejection),
    PS3.18 10.5 (STOW-RS).
"""
