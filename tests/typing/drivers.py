"""Checked by mypy, never run: sandboxes bring drivers of the shape that the conformance suite needs."""

from typing import cast

import gateway_pipedrive.sandbox
import gateway_servicetitan.sandbox
from gateway.testing.driver import Driver, MakesDriver, TellsWorth
from gateway_pipedrive.sandbox import PipedriveDriver
from gateway_servicetitan.sandbox import ServiceTitanDriver

pipedrive: Driver = cast("PipedriveDriver", None)
makes: MakesDriver = gateway_pipedrive.sandbox
worth: TellsWorth = cast("PipedriveDriver", None)

servicetitan: Driver = cast("ServiceTitanDriver", None)
servicetitan_makes: MakesDriver = gateway_servicetitan.sandbox
servicetitan_worth: TellsWorth = cast("ServiceTitanDriver", None)
