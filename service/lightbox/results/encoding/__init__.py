"""From a data set to its bytes.

Reads: data sets that the writers of this step built.
Writes: Explicit VR Little Endian, the very bytes that pydicom writes, in a fraction of its time.
Refuses: what pydicom refuses: what is not plain is left to it.
Start here: ``data_set.py``; ``build.py`` makes data sets of our own words, as quickly.
Standard: PS3.5 6.2 and 7.1.2.
"""
