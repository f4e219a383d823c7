"""The campaign's secret: 32 random bytes that make eval sets underivable from public seeds."""

import os
import secrets
from pathlib import Path

from inferencebench.errors import UserError

NAME = ".salt"
LENGTH = 32


def campaign_salt(out: Path) -> bytes:
    """The salt of the campaign directory `out`, made on first use; never shown to a sandbox.

    Raises UserError when the file is not 32 bytes long."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / NAME
    temporary = out / f"{NAME}.{os.getpid()}"
    if not path.exists():
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(LENGTH))
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    salt = path.read_bytes()
    if len(salt) != LENGTH:
        raise UserError(f"{path}: has {len(salt)} bytes instead of {LENGTH}; restore it or start a new directory")
    return salt
