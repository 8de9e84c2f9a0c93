"""How we get into a destination: its TLS and ours, secrets, and a web connection that is kept.

Reads: the settings of a destination; PEM files and files of secrets, anew for each connection, so
    that what is renewed there needs no restart.
Writes: nothing; a secret reaches the connection and no log, no error, no listing.
Refuses: certificates of other authorities or names, TLS below 1.2, ciphers without AEAD, secrets
    that are not there.
Start here: ``tls.py`` (the context, and why there was no handshake), then ``secret.py``, ``web.py``.
Standard: PS3.15 B.12 (BCP 195), RFC 9325, RFC 6750 (bearer), RFC 7617 (basic).
"""
