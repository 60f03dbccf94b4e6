"""A local fake of Acme that says no as the vendor does.

``gateway sandbox acme`` serves it; the conformance suite drives it through ``driver``.
"""

from gateway_acme.sandbox.driver import AcmeDriver, driver
from gateway_acme.sandbox.serving import create_app
from gateway_acme.sandbox.vendor import Vendor

__all__ = ["AcmeDriver", "Vendor", "create_app", "driver"]
