"""Step 2: instances become units that a model can look at, once they are complete enough.

Reads: ``InstanceStored`` with the attributes of its header, ``AssociationReleased``, the clock.
Writes: ``StudyReady`` (a unit, a model, an urgency and the rule that gave it), or
``InstanceListed`` with the reason why an instance gets no result.
Refuses: nothing that was accepted; our own results that come back are listed, not analysed.
Start here: ``assemble.py`` (when), ``match.py`` (for which model).
Standard: there is no "study complete" in PS3.4 Annex B; silence has to do
(``domain/readiness.py``).
"""
