"""A plugin of pytest that breaks promises for all tests of a run.

``GATEWAY_FAULTS_MUTATIONS=epoch pytest -p tests.faults.broken tests/storage``
"""

import os

from .mutations import mutate

for name in os.environ.get("GATEWAY_FAULTS_MUTATIONS", "").split():
    mutate(name)
