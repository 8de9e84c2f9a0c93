"""Whether the decoders of compressed pixel data are to be believed.

Reads: pixel data of strangers, in a decoding child only.
Writes: nothing.
Refuses: an image of which two decoders make different pixels (``DecodersDifferError``).
Start here: ``second_opinion.py``.
Standard: PS3.5 8.2 and A.4 (encapsulated pixel data), ITU-T T.83 (accuracy of JPEG decoders).
"""
