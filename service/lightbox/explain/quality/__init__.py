"""How good a map is: one metric per file; none imports another.

Reads: maps, values over players and already computed v(S); no metric runs the network itself.
Writes: numbers. Each module declares ``METRIC`` or ``METRICS``: name, block, direction, meaning.
Refuses: nothing here except ``soundness.py``: NaN, constant and empty maps are errors.
Start here: ``explain/measures.py`` lists them, ``judge.py`` applies them, ``sentences.py`` finds
the words.
Standard: definitions follow the papers named in each file; on regions, not pixels.
"""
