"""Other programs are told what happened: a signed POST, repeated until they answer that they have it.

Reads: ``domain.webhooks.Notification``; the settings of a webhook.
Writes: ``NotificationSent``, ``NotificationDelayed``, ``NotificationDropped``.
Refuses: nothing; a webhook that does not answer waits with its own notifications and holds up no
    result. Nothing of the patient leaves unless the site wants it.
Start here: ``body.py`` (what is said, and how it is signed); then ``call.py``.
Standard: JSON (RFC 8259), HMAC-SHA256 (RFC 2104) over time and body.
"""
