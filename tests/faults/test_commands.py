"""The positive twin of every fault test: with nothing broken, each command does what the faults prevent."""

import pytest

from audit.models import OutboxRow
from tests.faults.commands import COMMANDS, Command
from tests.invariants import Trail, assert_hold
from tests.world import World

pytestmark = pytest.mark.fault


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_with_nothing_broken_every_command_succeeds(world: World, command: Command) -> None:
    send = command.prepare(world)
    trail = Trail()
    assert_hold(trail)

    response = send()

    assert response.status_code == command.status, response.content
    assert not OutboxRow.objects.exists()
    assert_hold(trail)
