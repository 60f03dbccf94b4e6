"""Checked by mypy, never run: sandboxes bring drivers of the shape that the conformance suite needs."""

from typing import cast

import gateway_pipedrive.sandbox
from gateway.testing.driver import Driver, MakesDriver
from gateway_pipedrive.sandbox import PipedriveDriver

pipedrive: Driver = cast("PipedriveDriver", None)
makes: MakesDriver = gateway_pipedrive.sandbox
