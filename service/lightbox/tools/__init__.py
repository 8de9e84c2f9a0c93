"""Programs around the service: they start it, feed it, and stand in for its neighbours.

Reads: DICOM files and folders, the settings of a destination.
Writes: what the peer was sent; archives keep their instances in a folder that they are given.
Refuses: files that are not DICOM, one clear line each; the others go on.
Start here: ``send.py`` (C-STORE of files), ``orthanc.py`` (a real archive), ``archive.py`` (a
    small one of ours, whose answers tests can script), ``demo.py``; ``doors.py`` (the worker's
    doors around one model: behind ``explain.py``, ``replay.py`` and the ``bench_*.py``).
Standard: PS3.4 B (storage, both roles), PS3.4 A (verification).
"""
