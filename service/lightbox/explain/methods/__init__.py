"""Explanation methods, one file each, named as in their paper; none imports another.

Reads: an ``Output`` (map methods) or a ``Game`` (methods over players).
Writes: an ``Estimate``; methods over players yield one after every chunk.
Refuses: what it cannot answer honestly, with ``ExplanationError``.
Start here: ``layer_cam.py`` (the smallest map method), ``occlusion.py`` (the smallest of players).
To add one: write NAME.py that ends in ``METHOD = class_activation(CARD, weigh)``, ``MapMethod(…)``
or ``GameMethod(…)`` (``explain/plugin.py``); add its line to ``METHODS`` in ``app/catalogue.py``;
add it to ``tests/unit/explain/test_class_activation.py`` or, over players, a class of three lines
to ``test_methods.py`` that inherits the contract. ``lightbox methods`` and ``lightbox explain
--method NAME`` then know it; ``lightbox models check DIR --measure`` measures it.
Standard: each ``CARD`` names the paper; a deviation from it has another name and is said there.
"""
