"""Questions that a step cannot answer by itself, because the answer lies in another step's part.

Is this file what was acknowledged, is this instance a result of ours, which result does a job
replace, who sent it, will it be late, may the model be asked, may audits run now?

Reads: the ledger, the clock, what the worker found.
Writes: nothing but what is foreseen.
Refuses: an answer where the ledger does not know.
Start here: any file; each answers one question.
Standard: none.
"""
