"""Secrets at rest: AES-256-GCM under a key ring, each ciphertext bound to the row that it belongs to.

A ciphertext that is copied to another row does not decrypt there: owner and name are its associated data.
Keys are rotated online: put the new key first in ``GATEWAY_SECRET_KEYS``, restart, run ``rewrap`` until it
answers 0, remove the old key.
"""

import base64
import binascii
import hmac
import secrets as randomness
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary, Select, bindparam, delete, select, update

from gateway.settings import SettingsError
from gateway.storage.engine import AsyncConnection, Database, among
from gateway.storage.prepared import one_of, prepared
from gateway.storage.tables import secrets
from gateway.storage.upsert import insert

__all__ = ["Vault", "VaultError", "new_secret_key"]

NONCE_BYTES = 12
INDEX_OWNER, INDEX_NAME = "gateway", "email_index"


class VaultError(Exception):
    """A stored secret cannot be read; the message names it and says what to do. It never holds the secret."""


def new_secret_key(key_id: str) -> str:
    """Return a new key for ``GATEWAY_SECRET_KEYS``: ``id:base64 of 32 random bytes``."""
    return f"{key_id}:{base64.b64encode(randomness.token_bytes(32)).decode()}"


_COLUMNS = (secrets.c.owner, secrets.c.name, secrets.c.key_id, secrets.c.ciphertext)


@prepared
def _all(dialect: str) -> Select[Any]:
    return select(*_COLUMNS).where(one_of(dialect, secrets.c.owner, "owners"))


class Vault:
    """Encrypts with the first key of the ring and decrypts with any.

    Args:
        keys: ``id:base64`` each, as in ``GATEWAY_SECRET_KEYS``; standard and URL-safe alphabets are read.

    Raises:
        SettingsError: No key is given, one is not 32 bytes, or two have one id.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise SettingsError(
                "GATEWAY_SECRET_KEYS is not set: tokens and passwords cannot be stored. Make a key with "
                "`python -c \"import base64, os; print('k1:' + base64.b64encode(os.urandom(32)).decode())\"` "
                "and keep a copy of it: without it nothing that is stored can be read again."
            )
        self._ring: dict[str, AESGCM] = {}
        for key in keys:
            key_id, _, encoded = key.partition(":")
            if key_id in self._ring:
                raise SettingsError(
                    f"GATEWAY_SECRET_KEYS names the key {key_id!r} twice; give each key an id of its own"
                )
            self._ring[key_id] = AESGCM(_key_bytes(key_id, encoded))
        self._first = next(iter(self._ring))
        self._index_key: bytes | None = None

    async def load(self, database: Database) -> None:
        """Read the e-mail index key, making it on the first start; of several processes one makes it."""
        async with database.read() as conn:
            found = await self.get(conn, INDEX_OWNER, INDEX_NAME)
        if found is None:
            now = database.clock.now()

            async def make(conn: AsyncConnection) -> str | None:
                row = self._row(INDEX_OWNER, INDEX_NAME, randomness.token_hex(32), now)
                await conn.execute(insert(conn, secrets).values(row).on_conflict_do_nothing())
                return await self.get(conn, INDEX_OWNER, INDEX_NAME)

            found = await database.writer.run(make)
        assert found is not None
        self._index_key = bytes.fromhex(found)

    def email_hash(self, email: str) -> str:
        """Return the keyed hash by which an e-mail address is looked up.

        Args:
            email: A normalised address; two spellings of one address give two hashes.
        """
        if self._index_key is None:
            raise RuntimeError("the vault is not loaded; await vault.load(database) at start")
        return hmac.digest(self._index_key, email.encode(), "sha256").hex()

    def derive(self, *what: str) -> str:
        """Return 256 bits that the same words give again, and that nobody else can make, in URL-safe base 64.

        Args:
            what: What it is for, and what tells it apart; some of it random and of one use, such as a form's token.
        """
        if self._index_key is None:
            raise RuntimeError("the vault is not loaded; await vault.load(database) at start")
        said = b"derived\0" + msgspec.json.encode(what)  # no e-mail address begins so: see email_hash
        return base64.urlsafe_b64encode(hmac.digest(self._index_key, said, "sha256")).decode().rstrip("=")

    async def put(self, conn: AsyncConnection, owner: str, name: str, value: str | bytes, now: datetime) -> None:
        """Store a secret of ``owner`` (the id of its row), replacing the one of that name."""
        row = self._row(owner, name, value, now)
        statement = insert(conn, secrets).values(row)
        replaced = {column: statement.excluded[column] for column in ("ciphertext", "key_id", "updated_at")}
        await conn.execute(statement.on_conflict_do_update(index_elements=["owner", "name"], set_=replaced))

    async def get(self, conn: AsyncConnection, owner: str, name: str) -> str | None:
        """Return a secret, or ``None`` when there is none of that name.

        Raises:
            VaultError: It was written with a key that is not in the ring, or was changed or moved.
        """
        return (await self.get_many(conn, [owner], name)).get(owner)

    async def get_many(self, conn: AsyncConnection, owners: Iterable[str], name: str) -> dict[str, str]:
        """Return the secrets of one name by owner, in one statement; owners without one are left out."""
        statement = select(secrets.c.owner, secrets.c.key_id, secrets.c.ciphertext).where(
            among(conn, secrets.c.owner, owners), secrets.c.name == name
        )
        rows = await conn.execute(statement)
        return {owner: self._open(owner, name, key_id, ciphertext).decode() for owner, key_id, ciphertext in rows}

    async def get_all(self, conn: AsyncConnection, owner: str) -> dict[str, str]:
        """Return all secrets of one owner by name."""
        return (await self.get_all_of(conn, [owner]))[owner]

    async def get_all_of(self, conn: AsyncConnection, owners: Collection[str]) -> dict[str, dict[str, str]]:
        """Return all secrets of many owners, by owner and name, in one statement."""
        found: dict[str, dict[str, str]] = {owner: {} for owner in owners}
        for owner, name, key_id, ciphertext in await conn.execute(_all(conn), {"owners": list(found)}):
            found[owner][name] = self._open(owner, name, key_id, ciphertext).decode()
        return found

    async def delete(self, conn: AsyncConnection, owner: str, name: str | None = None) -> None:
        """Delete one secret of an owner, or all of them."""
        condition = [secrets.c.owner == owner] + ([] if name is None else [secrets.c.name == name])
        await conn.execute(delete(secrets).where(*condition))

    async def delete_all(self, conn: AsyncConnection, owners: Collection[str]) -> None:
        """Delete all secrets of many owners."""
        await conn.execute(delete(secrets).where(among(conn, secrets.c.owner, owners)))

    async def check(self, conn: AsyncConnection) -> int:
        """Open one secret of each key that wrote any, and return how many; a read only.

        Raises:
            VaultError: One does not open with the keys of the ring.
        """
        keys = list((await conn.execute(select(secrets.c.key_id).distinct().order_by(secrets.c.key_id))).scalars())
        for key_id in keys:
            one = select(*_COLUMNS).where(secrets.c.key_id == key_id).limit(1)
            for owner, name, written_with, ciphertext in await conn.execute(one):
                self._open(owner, name, written_with, ciphertext)
        return len(keys)

    async def rewrap(self, conn: AsyncConnection, batch: int = 200) -> int:
        """Encrypt up to ``batch`` secrets of older keys anew with the first key; return how many were found.

        Call again until it answers 0. A secret that is replaced meanwhile is left: it carries the first key already.
        """
        old = select(secrets).where(secrets.c.key_id != self._first).order_by(secrets.c.key_id).limit(batch)
        rows = (await conn.execute(old)).all()
        if rows:
            changes = [
                {
                    "at_owner": row.owner,
                    "at_name": row.name,
                    "was": row.ciphertext,
                    "becomes": self._seal(
                        row.owner, row.name, self._open(row.owner, row.name, row.key_id, row.ciphertext)
                    ),
                }
                for row in rows
            ]
            await conn.execute(
                update(secrets)
                .where(
                    secrets.c.owner == bindparam("at_owner"),
                    secrets.c.name == bindparam("at_name"),
                    secrets.c.ciphertext == bindparam("was", type_=LargeBinary),
                )
                .values(ciphertext=bindparam("becomes"), key_id=self._first),
                changes,
            )
        return len(rows)

    def _row(self, owner: str, name: str, value: str | bytes, now: datetime) -> dict[str, object]:
        clear = value.encode() if isinstance(value, str) else value
        return {
            "owner": owner,
            "name": name,
            "ciphertext": self._seal(owner, name, clear),
            "key_id": self._first,
            "updated_at": now,
        }

    def _seal(self, owner: str, name: str, clear: bytes) -> bytes:
        nonce = randomness.token_bytes(NONCE_BYTES)
        return nonce + self._ring[self._first].encrypt(nonce, clear, _bound_to(owner, name))

    def _open(self, owner: str, name: str, key_id: str, ciphertext: bytes) -> bytes:
        cipher = self._ring.get(key_id)
        if cipher is None:
            raise VaultError(
                f"secret {name!r} of {owner} was written with key {key_id!r}; add it to GATEWAY_SECRET_KEYS"
            )
        try:
            return cipher.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], _bound_to(owner, name))
        except InvalidTag as error:
            raise VaultError(
                f"secret {name!r} of {owner} does not decrypt with key {key_id!r}: another key has that id in "
                "GATEWAY_SECRET_KEYS now, or the row was changed outside the gateway"
            ) from error


def _bound_to(owner: str, name: str) -> bytes:
    return msgspec.json.encode([owner, name])


def _key_bytes(key_id: str, encoded: str) -> bytes:
    padded = encoded.rstrip("=")
    padded += "=" * (-len(padded) % 4)
    try:
        raw = base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise SettingsError(f"GATEWAY_SECRET_KEYS: key {key_id!r} is not the base64 of 32 bytes")
    return raw
