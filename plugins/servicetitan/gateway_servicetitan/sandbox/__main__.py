"""Serve the sandbox: ``python -m gateway_servicetitan.sandbox [port]``."""

import sys

from gateway_servicetitan.sandbox.app import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8766)
