"""A secret: in the configuration itself, in a file or in the environment; read when it is used."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from pydantic import SecretStr

from lightbox.domain.errors import ConfigurationError
from lightbox.settings import DestinationSettings


def reveal(secret: SecretStr, key: str) -> str:
    """Return a secret, "" where none is given.

    Parameters
    ----------
    secret : SecretStr
        Itself, ``file:PATH`` or ``env:NAME``.
    key : str
        Of the configuration, for errors: they never hold the secret.

    Raises
    ------
    ConfigurationError
        If the file or the variable is not there, or is empty.
    """
    text = secret.get_secret_value()
    kind, _, where = text.partition(":")
    if kind == "file":
        try:
            found = Path(where).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not text"
            raise ConfigurationError(f"{key}: file {where}", reason, _MEND) from None
    elif kind == "env":
        found = os.environ.get(where, "").strip()
    else:
        return text
    if not found:
        raise ConfigurationError(f"{key}: {kind} {where}", "is empty or not there", _MEND)
    return found


_MEND = "put the secret there, readable by the user of the service alone"


def authorisation(given: DestinationSettings) -> str:
    """Return the header field Authorization, "" for none.

    Raises
    ------
    ConfigurationError
        If a secret is not there.
    """
    key = f"destinations.{given.name}"
    if given.token.get_secret_value():
        return f"Bearer {reveal(given.token, f'{key}.token')}"
    if given.user:
        pair = f"{given.user}:{reveal(given.password, f'{key}.password')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return ""
