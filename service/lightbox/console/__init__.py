"""HTTP: health, metrics, a small API, and pages for people in a dark room.

Reads: what :class:`~lightbox.console.sources.ConsoleSources` gives; never a file, never the ledger.
Writes: nothing but a session cookie; ``actions.py`` asks ``app/operate/operations.py`` to act.
Refuses: requests without the token where one is set; foreign Host headers where none is; forms
that are not from its own pages.
Start here: ``server.py`` (the application), ``api.py`` (JSON), ``pages.py`` (HTML).
Standard: OpenAPI 3.1, Prometheus text format 0.0.4, WCAG 2.2 AA. No asset comes from elsewhere.
"""
