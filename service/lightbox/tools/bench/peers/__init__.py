"""What others offer for the same: their estimators and maps, as contestants of ``lightbox bench``.

Reads: a game whose values are known, or a package's weights as a torch module.
Writes: what each of them says, and how many evaluations it asked for.
Refuses: nothing; what is not installed takes no part (``make bench-peers`` installs it apart).
Start here: ``shapley_estimators.py``, ``class_activation.py``; ``torch_twin.py`` serves the latter.
Standard: each package as its own documentation shows it; options other than defaults are named.
"""
