"""What the numbers are stored in: frames of floats that lie in the patient.

Reads: values of every frame of a series, and where each frame lies.
Writes: a data set of the Parametric Map IOD; ``parametric_map.py`` decides when there is one.
Refuses: nothing.
Start here: ``float_frames.py``.
Standard: PS3.3 A.75, C.7.6.16, C.8.32; PS3.16 CID 217.
"""
