"""Step 5: a prediction gets its explanation, and the explanation its measured quality.

Reads: a frame, the forward pass's ``Output``, and for an audit v(S) through ``ports.Runtime``.
Writes: an ``Attribution`` in source pixels (``AttributionRecord`` for the ledger); for an audit
also the values v(S), so that resume and replay are the same thing (``values_file.py``).
Refuses: a map that is not a number, constant or empty, and a target that does not exist, with
``ExplanationError``; a doubtful map is kept and says so in words (``warnings``).
Start here: ``attribute.py`` (the door), ``game.py`` (what v(S) is), ``plugin.py`` (a method).
A new method is one file in ``methods/`` that ends in ``METHOD = …``, one line in
``app/catalogue.py`` and one class in ``tests/unit/explain/test_methods.py`` on the contract suite
of ``tests/contracts/explainer.py``. Files in ``methods/`` and ``quality/`` never import each other:
what two methods need stands in ``shapley_values/``.
Standard: the papers are cited in each method's card; words are those of Shapley and shapiq.
"""
