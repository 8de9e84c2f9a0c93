"""The upper layer on bytes: PDUs, negotiation, command sets, one conversation at a time.

Reads: bytes of a peer that may be slow, broken or hostile; every length is checked before use.
Writes: PDUs; hands the fragments of data sets on as they come, without a copy.
Refuses: what breaks the protocol, by A-ABORT; what is not configured, by A-ASSOCIATE-RJ.
Start here: ``association.py`` (the loop), ``states.py`` (what an event means in which state).
Standard: PS3.8 section 9 (PDUs and states), PS3.7 sections 6 and 9 (command sets).
"""
