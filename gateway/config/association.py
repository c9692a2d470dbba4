"""What the config says of the association with a DLMS meter that is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationConfig:
    """Who the gateway is to the meter, and how it shows it."""

    #: ``client``: the client address, 1 to 127; default 16, the public client.
    client: int
    #: ``authentication``: none, low (a password) or high-gmac (both keys, mechanism 5); default none.
    authentication: str
    #: ``password_file``: where the password for low is, a source of secrets; empty where it is not given.
    password: str
