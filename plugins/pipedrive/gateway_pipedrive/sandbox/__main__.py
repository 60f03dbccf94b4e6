"""Serve the sandbox: ``python -m gateway_pipedrive.sandbox [port]``."""

import sys

from gateway_pipedrive.sandbox.app import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
