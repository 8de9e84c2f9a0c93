"""Whose object a result is, and where it lies: the source's header, cleaned.

Reads: the bytes of the job's instances, up to their pixel data.
Writes: ``Source``: valid attributes of patient, study and image, and the plane of the key frame.
Refuses: a file that cannot be read, a key frame that is not of the job (``ResultError``). A sin in
a header costs that attribute, never the result.
Start here: ``source.py``; then ``cleaning.py`` (what is forgiven) and ``plane.py``.
Standard: PS3.3 C.7.1 to C.7.6.2 (patient, study, series, plane), PS3.5 6.2 (values).
"""
