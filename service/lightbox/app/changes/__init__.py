"""What senders take back or correct after the fact: rejected images, patients that are named anew.

Reads: key objects, digests of what images name their patient, the ledger.
Writes: ``ImagesRejected``, ``PatientChanged``, and what ends by them.
Refuses: nothing of an image that is not rejected.
Start here: ``changes.py``; then ``rejections.py``, ``patients.py``, ``newest_patient.py``.
Standard: IHE RAD TF-1 33 (Imaging Object Change Management), PS3.16 CID 7011.
"""
