"""What load balancers and Prometheus see: numbers and states, no names."""

import httpx
import pytest

from gateway.testing.transports import RoutedTransport


def metric(text, name):
    return [line for line in text.splitlines() if line.startswith(f"gateway_{name}")]


async def test_the_metrics_show_the_queue_in_numbers_without_names(world):
    await world.account()
    await world.campaign()
    await world.signup(email="held.friend@example.com")
    await world.connect()
    answer = await world.api.get("/metrics", headers={"authorization": ""})
    assert answer.status_code == 200
    assert metric(answer.text, "connections") == ['gateway_connections{state="active"} 1.0']
    assert metric(answer.text, "signups_held") == ['gateway_signups_held{cause="no_setup"} 1.0']
    assert metric(answer.text, "tasks_parked") == ["gateway_tasks_parked 0.0"]
    assert "acme" not in answer.text
    assert "held.friend" not in answer.text


async def test_a_process_is_alive_and_ready_with_the_schema_of_its_version(world):
    assert (await world.api.get("/health/live")).json()["status"] == "ok"
    assert (await world.api.get("/health/ready")).json()["database"] == world.services.database.dialect


async def test_the_api_document_is_served(world):
    assert (await world.api.get("/schema/openapi.json")).json()["openapi"].startswith("3.1")


async def test_an_unknown_host_cannot_be_reached_from_a_test():
    async with httpx.AsyncClient(transport=RoutedTransport()) as client:
        with pytest.raises(httpx.ConnectError, match="elsewhere"):
            await client.get("https://elsewhere.test")
