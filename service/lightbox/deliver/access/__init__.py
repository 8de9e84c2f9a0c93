"""How we get into a destination and what it answers: TLS, secrets, a web connection that is kept.

Reads: the settings of a destination; PEM files and files of secrets, anew for each connection, so
    that what is renewed there needs no restart.
Writes: nothing; a secret reaches the connection and no log, no error, no listing.
Refuses: certificates of other authorities or names, TLS below 1.2, ciphers without AEAD, secrets
    that are not there.
Start here: ``tls.py`` (the context, and why there was no handshake), then ``secret.py``,
    ``web.py``; ``answers.py`` is who takes the answer on a DICOM association.
Standard: PS3.8 9.2 (states), PS3.15 B.12 (BCP 195), RFC 9325, RFC 6750 (bearer), RFC 7617 (basic).
"""
