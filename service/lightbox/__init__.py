"""Lightbox: a DICOM inference service that explains itself, in the PACS.

The road of a study, one folder per step; ``app/road.py`` joins them:

1. ``receive``   C-STORE → instance on disk and in the ledger
2. ``studies``   instances → a study that is ready
3. ``schedule``  ready study → job, by urgency and deadline
4. ``infer``     job → prediction
5. ``explain``   prediction → attribution, with its quality
6. ``results``   attribution → DICOM objects
7. ``deliver``   DICOM objects → stored in the PACS

Start here: :mod:`lightbox.app.road`, then the door of a step (``service/README.md`` has the map).
"""
