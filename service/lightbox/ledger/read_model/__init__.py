"""What the chains say, laid out for questions: one SQLite file that can be thrown away at any time.

Reads: the chains, one study at a time; its own file.
Writes: ``read_model.db`` in the folder of the chains, by the ``control`` process only.
Refuses: to be believed where it does not fit the chains (``fits`` in ``project.py``): it is made anew.
Start here: ``read.py`` (what console and commands call), ``project.py`` (how it is kept up),
``entry.py`` (what is kept of a study: a function of the study's rows, and of nothing else).
Standard: none; the ledger is the truth, this is its index.
"""
