"""``lightbox drill``: faults on purpose, on the installed system, against a PACS of our own.

Reads: the site's configuration; samples of its models. A service of its own is started with that
    configuration, in a sandbox on the same file system as the production data.
Writes: a report (HTML and JSON) that a hospital can file. In the production ledger one event: that
    a drill took place, who held it, and the verdict.
Refuses: to touch production: no port, no file and no destination of it is used.
Start here: ``run.py``; then ``sandbox.py`` (what is started), ``faults_in.py`` and
    ``faults_out.py`` (one function per fault), ``report.py``.
Standard: none; the faults are numbered as in our fault matrix.
"""
