"""Who made a model package: an OpenSSF signature over every file in it, where a site asks for one.

Reads: ``model.sig`` beside ``model.toml``; the PEM file that ``[models] signed_by`` names.
Writes: nothing; ``signed.py`` returns the digest of each signed file, and who signed them.
Refuses: a package that is unsigned, signed by somebody else, or not what was signed
(``ModelPackageError``); a PEM file without public keys and certificates (``ConfigurationError``).
Start here: ``signed.py`` (the proof), then ``bundle.py`` (what is in a signature) and ``signers.py``
(whose signatures count).
Standard: OpenSSF Model Signing 1.0 (model_signing), Sigstore bundle 0.3, DSSE 1.0.2, in-toto
Statement 1, X.509 (RFC 5280).
"""
