"""What faults are injected into."""

from collections.abc import Iterator

import pytest

from tests import environment
from tests.servers.house import House
from tests.servers.smtp import Smtp
from tests.world import World, make_world


@pytest.fixture(scope="session")
def mail_server() -> Iterator[Smtp]:
    """Where the house sends its mail."""
    with Smtp() as server:
        yield server


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, mail_server: Smtp) -> Iterator[House]:
    """A whole product of these tests' own. Shared: a test leaves it usable."""
    if environment.uses_postgres():
        pytest.skip("a house has a database of its own: once is enough")
    data = tmp_path_factory.mktemp("house of faults")
    mail = f"smtp://127.0.0.1:{mail_server.port}"
    with House(data, DEMO="1", OUTGOING_NETWORKS="127.0.0.1/32", EMAIL_URL=mail) as running:
        yield running.wait_until_ready()


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world()
