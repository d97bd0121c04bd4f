"""What faults are injected into."""

import pytest

from tests.world import World, make_world


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world()
