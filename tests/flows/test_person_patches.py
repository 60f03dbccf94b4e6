"""What the host or a plugin changes of a person: names, external id, answers of the form; and what is refused."""

import pytest

FORM = [
    {"key": "vip", "label": "VIP", "type": "boolean"},
    {"key": "note", "label": "Note"},
    {"key": "shop", "label": "Shop", "role": "referrer"},
]


@pytest.fixture
async def person(world):
    await world.account()
    await world.campaign(fields=FORM)
    made = await world.signup(
        person={"email": "fiona@example.com", "first_name": "Fiona", "external_id": "u1", "fields": {"note": "old"}}
    )
    await world.signup(email="greta@example.com")
    return made["person"]


async def patch(world, person, body, expect=None):
    return await world.call("PATCH", f"/v1/accounts/acme/people/{person}", body, expect=expect)


async def test_answers_are_merged_and_null_empties_one(world, person):
    await patch(world, person, {"fields": {"vip": True}})
    assert (await world.person(person))["fields"] == {"note": "old", "vip": True}
    await patch(world, person, {"fields": {"note": None}})
    assert (await world.person(person))["fields"] == {"vip": True}


async def test_an_answer_to_no_field_of_the_role_or_of_another_type_changes_nothing(world, person):
    problem = await patch(world, person, {"first_name": "F.", "fields": {"shop": "x", "vip": "often"}}, expect=422)
    assert [one["field"] for one in problem["problems"]] == ["fields.shop", "fields.vip"]
    stored = await world.person(person)
    assert (stored["first_name"], stored["fields"]) == ("Fiona", {"note": "old"})


async def test_an_external_id_belongs_to_one_person_of_a_campaign_and_role(world, person):
    await patch(world, person, {"external_id": "crm-7"})
    assert (await world.person("ext:crm-7"))["id"] == person
    found = (await world.call("GET", "/v1/accounts/acme/people?q=greta@example.com"))["data"][0]["id"]
    problem = await patch(world, found, {"external_id": "crm-7"}, expect=422)
    assert (problem["problems"][0]["field"], problem["problems"][0]["code"]) == ("external_id", "taken")
    await patch(world, person, {"external_id": None})
    await patch(world, found, {"external_id": "crm-7"})
    assert (await world.person("ext:crm-7"))["id"] == found


async def test_one_list_that_gives_two_people_the_same_id_does_it_once(world, person):
    found = (await world.call("GET", "/v1/accounts/acme/people?q=greta@example.com"))["data"][0]["id"]
    updates = [{"person": person, "external_id": "same"}, {"person": found, "external_id": "same"}]
    answer = await world.call("PATCH", "/v1/accounts/acme/campaigns/spring/people", {"people": updates})
    assert [bool(one["problems"]) for one in answer["results"]] == [False, True]


async def test_a_phone_number_that_no_column_takes_is_refused_and_names_its_field(world, person):
    problem = await patch(world, person, {"phone": "1" * 61}, expect=422)
    assert problem["problems"][0]["field"] == "phone"
