"""Paging in both versions: ``VENDOR.md``, chapter 5."""


async def walk(client, path, **query):
    rows, cursor, pages = [], None, 0
    while True:
        page = (await client.get(path, params=query | ({"cursor": cursor} if cursor else {}))).json()
        rows += page["data"]
        cursor, pages = page["additional_data"]["next_cursor"], pages + 1
        if cursor is None:
            return rows, pages


async def test_a_cursor_walk_sees_each_row_once(sandbox, client):
    for number in range(20):
        sandbox.add_person(f"Person {number}")
    rows, pages = await walk(client, "/api/v2/persons", limit=5)
    assert [row["id"] for row in rows] == list(range(1, 24))
    assert pages == 5
    rows, _ = await walk(client, "/api/v2/persons", limit=5, sort_by="update_time", sort_direction="desc")
    assert [row["id"] for row in rows] == list(range(23, 0, -1))


async def test_the_default_page_has_a_hundred_rows(sandbox, client):
    for number in range(100):
        sandbox.add_person(f"Person {number}")
    page = (await client.get("/api/v2/persons")).json()
    assert len(page["data"]) == 100
    assert page["additional_data"]["next_cursor"]
    page = (await client.get("/api/v2/persons", params={"limit": 500})).json()
    assert len(page["data"]) == 103
    assert page["additional_data"] == {"next_cursor": None}


async def test_rows_that_vanish_or_come_do_not_shift_the_walk(sandbox, client):
    for number in range(7):
        sandbox.add_person(f"Person {number}")
    page = (await client.get("/api/v2/persons", params={"limit": 4})).json()
    sandbox.delete_person(1)
    sandbox.delete_person(5)
    sandbox.add_person("Late")
    cursor = page["additional_data"]["next_cursor"]
    rest = (await client.get("/api/v2/persons", params={"limit": 100, "cursor": cursor})).json()
    assert [row["id"] for row in rest["data"]] == [6, 7, 8, 9, 10, 11]


async def test_a_cursor_is_opaque_and_of_its_list(sandbox, client):
    for number in range(5):
        sandbox.add_person(f"Person {number}")
    page = (await client.get("/api/v2/persons", params={"limit": 2})).json()
    cursor = page["additional_data"]["next_cursor"]
    query = {"cursor": cursor, "sort_by": "update_time"}
    assert (await client.get("/api/v2/persons", params=query)).status_code == 400
    for made_up in ("3", "e30", "!!", "W10"):
        assert (await client.get("/api/v2/persons", params={"cursor": made_up})).status_code == 400
