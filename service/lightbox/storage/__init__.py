"""What was written down, as bytes: files of instances and results, durable when told so.

Reads: paths relative to the data directory, bytes.
Writes: files of mode 0600 in folders of mode 0700, synced before anyone is told that they exist.
Refuses: ``OSError`` as the operating system gives it; callers turn it into an answer.
Start here: ``files.py`` (the only place that writes, syncs, renames and unlinks), ``folder.py``
(the Storage port on a disk), ``pool.py`` (files made in advance, so that receiving waits less).
Standard: none; names are ours (``naming.py``), never the wire's.
"""
