"""Secrets at rest: bound to their row, re-wrapped online, unreadable without their key."""

import base64

import pytest
from sqlalchemy import update

from gateway.settings import SettingsError
from gateway.storage.engine import Database
from gateway.storage.tables import secrets
from gateway.storage.vault import Vault, VaultError, new_secret_key

ONE, TWO = new_secret_key("k1"), new_secret_key("k2")


async def put(database, vault, owner, name, value):
    now = database.clock.now()
    await database.writer.run(lambda conn: vault.put(conn, owner, name, value, now))


async def get(database, vault, owner, name):
    async with database.read() as conn:
        return await vault.get(conn, owner, name)


async def stored(database):
    async with database.read() as conn:
        return (await conn.execute(secrets.select().where(secrets.c.owner != "gateway"))).mappings().all()


async def test_a_secret_comes_back_and_is_not_in_the_database(database: Database):
    vault = Vault([ONE])
    await put(database, vault, "con_1", "oauth", "tökén-value")
    await put(database, vault, "con_1", "oauth", "tökén-value-2")
    await put(database, vault, "con_1", "other", b"bytes")
    assert await get(database, vault, "con_1", "oauth") == "tökén-value-2"
    assert await get(database, vault, "con_2", "oauth") is None
    async with database.read() as conn:
        assert await vault.get_all(conn, "con_1") == {"oauth": "tökén-value-2", "other": "bytes"}
        assert await vault.get_many(conn, ["con_1", "con_2"], "other") == {"con_1": "bytes"}
    for row in await stored(database):
        assert "tökén".encode() not in row["ciphertext"]


async def test_one_value_twice_gives_two_ciphertexts(database: Database):
    vault = Vault([ONE])
    for owner in ("con_1", "con_2"):
        await put(database, vault, owner, "oauth", "same")
    first, second = await stored(database)
    assert first["ciphertext"] != second["ciphertext"]


async def test_a_ciphertext_that_is_moved_to_another_row_does_not_decrypt(database: Database):
    vault = Vault([ONE])
    await put(database, vault, "con_1", "oauth", "mine")
    await put(database, vault, "con_2", "oauth", "theirs")
    rows = {row["owner"]: row["ciphertext"] for row in await stored(database)}
    for change in ({"owner": "con_2", "name": "oauth"}, {"owner": "con_1", "name": "other"}):
        await database.writer.run(lambda conn: vault.delete(conn, "con_2"))
        if change["owner"] == "con_1":
            await put(database, vault, "con_1", "other", "x")
        else:
            await put(database, vault, "con_2", "oauth", "x")
        where = (secrets.c.owner == change["owner"]) & (secrets.c.name == change["name"])
        await database.writer.run(
            lambda conn, where=where: conn.execute(update(secrets).where(where).values(ciphertext=rows["con_1"]))
        )
        with pytest.raises(VaultError, match=change["owner"]):
            await get(database, vault, change["owner"], change["name"])


async def test_deleting_takes_one_or_all_of_an_owner(database: Database):
    vault = Vault([ONE])
    for name in ("a", "b", "c"):
        await put(database, vault, "con_1", name, name)
    await put(database, vault, "con_2", "a", "a")
    await database.writer.run(lambda conn: vault.delete(conn, "con_1", "a"))
    async with database.read() as conn:
        assert set(await vault.get_all(conn, "con_1")) == {"b", "c"}
    await database.writer.run(lambda conn: vault.delete(conn, "con_1"))
    async with database.read() as conn:
        assert await vault.get_all(conn, "con_1") == {}
        assert await vault.get_all(conn, "con_2") == {"a": "a"}


async def test_keys_are_rotated_while_everything_stays_readable(database: Database):
    old = Vault([ONE])
    for number in range(7):
        await put(database, old, f"con_{number}", "oauth", f"value {number}")
    rotating = Vault([TWO, ONE])
    assert await get(database, rotating, "con_3", "oauth") == "value 3"
    found = []
    while number := await database.writer.run(lambda conn: rotating.rewrap(conn, 3)):
        found.append(number)
    assert found == [3, 3, 1]
    assert {row["key_id"] for row in await stored(database)} == {"k2"}
    new = Vault([TWO])
    assert await get(database, new, "con_6", "oauth") == "value 6"
    with pytest.raises(VaultError, match=r"'k2'.*GATEWAY_SECRET_KEYS"):
        await get(database, old, "con_6", "oauth")


async def test_another_key_of_the_same_id_is_said(database: Database):
    await put(database, Vault([ONE]), "con_1", "oauth", "x")
    with pytest.raises(VaultError, match="another key has that id"):
        await get(database, Vault([new_secret_key("k1")]), "con_1", "oauth")


async def test_the_email_index_key_is_made_once_and_the_same_in_every_process(database: Database):
    vaults = [Vault([ONE]), Vault([ONE])]
    for vault in vaults:
        await vault.load(database)
    hashes = {vault.email_hash("fiona@example.com") for vault in vaults}
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64
    assert vaults[0].email_hash("other@example.com") != vaults[0].email_hash("fiona@example.com")
    while await database.writer.run(lambda conn: Vault([TWO, ONE]).rewrap(conn)):
        pass
    after = Vault([TWO])
    await after.load(database)
    assert after.email_hash("fiona@example.com") == vaults[0].email_hash("fiona@example.com")


def test_a_hash_needs_the_index_key():
    with pytest.raises(RuntimeError, match="load"):
        Vault([ONE]).email_hash("fiona@example.com")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "GATEWAY_SECRET_KEYS is not set"),
        (["k1:" + base64.b64encode(b"0" * 31).decode()], "'k1' is not the base64 of 32 bytes"),
        (["k1:not base64!"], "'k1' is not the base64 of 32 bytes"),
        ([ONE, ONE], "'k1' twice"),
    ],
)
def test_a_wrong_key_ring_says_what_to_do(keys, said):
    with pytest.raises(SettingsError, match=said):
        Vault(keys)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padded", [True, False])
def test_both_alphabets_are_read_with_and_without_padding(encode, padded):
    raw = bytes(range(224, 256))
    key = encode(raw).decode()
    Vault([f"k1:{key if padded else key.rstrip('=')}"])
