"""The plugins of this repository keep every rule on PostgreSQL too; on SQLite their own tests say so."""

import pytest

from gateway.testing import IntegrationConformance


class OnPostgresql(IntegrationConformance):
    test_the_readme_carries_the_card = None  # the same card on each kind of database

    @pytest.fixture
    def conformance_database_url(self, postgresql_url):
        return postgresql_url


class TestPipedrive(OnPostgresql):
    integration = "pipedrive"


class TestServiceTitan(OnPostgresql):
    integration = "servicetitan"


class TestZapier(OnPostgresql):
    integration = "zapier"
