"""What the first company makes its machines from: images, networks, and templates that name them."""

from functools import partial

from fleets import inventory
from fleets.models import Image, Network
from tokens.demo.script import BRIGHTWATER
from tokens.demo.stage import Stage

GIB = 2**30
IMAGES = (
    ("debian-12", "Hardened base, rebuilt every Monday", "Debian 12"),
    ("ubuntu-24.04-gpu", "With the drivers of the lab", "Ubuntu 24.04"),
)
NETWORKS = (
    ("vlan-110", "Oslo, production gateways", "10.20.110.0/24"),
    ("vlan-160", "Engineering lab", "10.20.160.0/23"),
    ("ot-31", "Cranes, no route to the outside", "fd31:6f74::/48"),
)
TEMPLATES = (  # name, description, CPUs, GiB, image, network
    ("gateway-small", "An edge gateway", 4, 8, "debian-12", "vlan-110"),
    ("build-runner", "Builds what the lab writes", 16, 32, "debian-12", "vlan-160"),
    ("gpu-bench", "For a week of research", 32, 128, "ubuntu-24.04-gpu", "vlan-160"),
)


def write_inventory(stage: Stage) -> None:
    for number, image in enumerate(IMAGES):
        stage.at(96.4 - number / 100, BRIGHTWATER.boss, partial(_add_image, stage, *image))
    for number, network in enumerate(NETWORKS):
        stage.at(96.2 - number / 100, BRIGHTWATER.boss, partial(_add_network, stage, *network))
    for number, template in enumerate(TEMPLATES):
        stage.at(95.8 - number / 100, BRIGHTWATER.boss, partial(_add_template, stage, *template))


def _add_image(stage: Stage, name: str, description: str, operating_system: str) -> None:
    inventory.add_image(
        stage.organizations[BRIGHTWATER.slug],
        name=name,
        description=description,
        operating_system=operating_system,
        by=stage.person(BRIGHTWATER.boss),
    )


def _add_network(stage: Stage, name: str, description: str, cidr: str) -> None:
    inventory.add_network(
        stage.organizations[BRIGHTWATER.slug],
        name=name,
        description=description,
        cidr=cidr,
        by=stage.person(BRIGHTWATER.boss),
    )


def _add_template(
    stage: Stage, name: str, description: str, cpus: int, gibibytes: int, image: str, network: str
) -> None:
    inventory.add_template(
        stage.organizations[BRIGHTWATER.slug],
        name=name,
        description=description,
        configuration={
            "cpus": cpus,
            "memory": gibibytes * GIB,
            "disks": [{"name": "system", "size": 64 * GIB}],
            "networks": [{"name": network}],
        },
        image=Image.objects.get(name=image).pk,
        network=Network.objects.get(name=network).pk,
        by=stage.person(BRIGHTWATER.boss),
    )
