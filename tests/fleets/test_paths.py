"""Paths: which are accepted, which are refused, what lies above and below them, what they name."""

from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleets import paths
from fleets.paths import PathError

ID = "0190f3a0-0000-7000-8000-000000000001"
MACHINE = f"/fleets/web/machines/{ID}"
LONGEST = "/" + "a" * 254
DEEPEST = "/a" * 16

ACCEPTED = [
    "/",
    "/nodes",
    "/nodes/n1",
    "/nodes/n1/qemu",
    "/A-z/0.9_~@+:",
    "/a..b",
    "/...",
    "/storage/local:iso",
    "/fleets",
    "/fleets/web",
    "/fleets/Web_1-a",
    "/fleets/web/machines",
    MACHINE,
    "/vms/1",
    "/vms/100",
    "/vms/999999999",
    "/vmsx/0",
    "/x/vms/007",
    "/x/fleets/a.b/c/d",
    "/fleetsx/a.b",
    "/Fleets/a.b",
    LONGEST,
    DEEPEST,
]

REFUSED = [
    "",
    " ",
    "nodes",
    "nodes/n1",
    " /nodes",
    "/nodes ",
    "//",
    "//nodes",
    "/nodes//n1",
    "/nodes/",
    "/fleets/",
    "/.",
    "/..",
    "/nodes/.",
    "/nodes/./n1",
    "/nodes/../n1",
    "/nodes\n",
    "/nodes\r\n",
    "/nodes\x00",
    "/no\tdes",
    "/no des",
    "/nodes/*",
    "/nodes/%2e%2e",
    "/nodes\\n1",
    "/nodes;v=1",
    "/nodes?x=1",
    "/nodes#x",
    "/nodes/é",
    "/nodes/\uff0e\uff0e",
    "/nodes/\u2215",
    "/nodes/\ud800",
    "/vms",
    "/vms/",
    "/vms/0",
    "/vms/007",
    "/vms/0x10",
    "/vms/+1",
    "/vms/-1",
    "/vms/1.0",
    "/vms/1_0",
    "/vms/\u0661",
    "/vms/\u00b2",
    "/vms/1000000000",
    "/vms/100/config",
    "/vms/web",
    "/fleets/a.b",
    "/fleets/a:b",
    "/fleets/web/other",
    "/fleets/web/machines/1",
    "/fleets/web/machines/" + ID.upper(),
    "/fleets/web/machines/" + ID.replace("-", ""),
    "/fleets/web/machines/{" + ID + "}",
    "/fleets/web/machines/urn:uuid:" + ID,
    "/fleets/web/machines/" + ID + "0",
    "/fleets/web/other/" + ID,
    MACHINE + "/disks",
    LONGEST + "a",
    DEEPEST + "/a",
    "/a" * 10_000,
]


@pytest.mark.parametrize("path", ACCEPTED)
def test_a_well_formed_path_is_its_own_one_spelling(path: str) -> None:
    assert paths.normalise(path) == path


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: ascii(path)[:60])
def test_a_path_with_another_reading_is_refused_and_never_repaired(path: str) -> None:
    with pytest.raises(PathError):
        paths.normalise(path)


@given(st.text() | st.text("/.ab1*vmsflet- \n").map("/".__add__))
@example("/fleets/\n")
def test_whatever_is_sent_as_a_path_it_is_kept_as_it_is_or_refused(text: str) -> None:
    try:
        kept = paths.normalise(text)
    except PathError:
        return

    assert kept == text
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("/",)),
        ("/a", ("/", "/a")),
        ("/a/b", ("/", "/a", "/a/b")),
        ("/fleets/web/machines", ("/", "/fleets", "/fleets/web", "/fleets/web/machines")),
    ],
)
def test_the_ancestors_of_a_path_go_from_the_root_to_itself(path: str, expected: tuple[str, ...]) -> None:
    assert paths.ancestors(path) == expected


@pytest.mark.parametrize(
    ("path", "above", "expected"),
    [
        ("/", "/", True),
        ("/a", "/", True),
        ("/a/b", "/a", True),
        ("/a", "/a", True),
        ("/a", "/a/b", False),
        ("/", "/a", False),
        ("/ab", "/a", False),
        ("/fleets/web-2/machines", "/fleets/web", False),
    ],
)
def test_a_path_is_under_what_it_continues_by_whole_segments(path: str, above: str, expected: bool) -> None:
    assert paths.is_under(path, above) is expected
    assert (above in paths.ancestors(path)) is expected


@pytest.mark.parametrize(
    ("path", "child"),
    [
        ("/", "/*"),
        ("/nodes", "/nodes/*"),
        ("/fleets", "/fleets/*"),
        ("/fleets/web", "/fleets/web/machines"),
        ("/fleets/web/machines", "/fleets/web/machines/*"),
        (MACHINE, None),
        ("/vms/100", None),
        (DEEPEST, None),
        (LONGEST, None),
    ],
)
def test_the_unnamed_child_stands_for_what_can_really_be_below(path: str, child: str | None) -> None:
    assert paths.unnamed_child(path) == child


def test_the_closure_has_each_path_its_ancestors_and_an_unnamed_child_of_each() -> None:
    assert paths.closure([]) == frozenset()
    assert paths.closure(["/"]) == {"/", "/*"}
    assert paths.closure(["/a/b", MACHINE]) == {
        *("/", "/*"),
        *("/a", "/a/*", "/a/b", "/a/b/*"),
        *("/fleets", "/fleets/*", "/fleets/web", "/fleets/web/machines", "/fleets/web/machines/*", MACHINE),
    }


def test_paths_of_fleets_and_machines_are_built_and_read_back() -> None:
    assert paths.fleet_path("web") == "/fleets/web"
    assert paths.machine_path("web", UUID(ID)) == paths.machine_path("web", ID) == MACHINE
    assert paths.fleet_slug_of(MACHINE) == paths.fleet_slug_of("/fleets/web") == "web"
    assert paths.machine_id_of(MACHINE) == UUID(ID)


@pytest.mark.parametrize("path", ["/", "/fleets", "/nodes/web", "/x/fleets/web", "/vms/100"])
def test_a_path_outside_every_fleet_names_no_fleet_and_no_machine(path: str) -> None:
    assert paths.fleet_slug_of(path) is None
    assert paths.machine_id_of(path) is None


@pytest.mark.parametrize("slug", ["", "a/b", "a.b", "..", "a b", "é"])
def test_no_path_is_built_for_a_slug_that_a_path_cannot_hold(slug: str) -> None:
    with pytest.raises(PathError):
        paths.fleet_path(slug)


def test_a_path_under_vms_names_a_vmid_and_no_other_path_does() -> None:
    assert paths.vms_path(100) == "/vms/100"
    assert (paths.is_vms("/vms/100"), paths.vmid_of("/vms/100")) == (True, 100)
    assert (paths.is_vms("/vmsx/100"), paths.vmid_of("/vmsx/100")) == (False, None)
    assert (paths.is_vms(MACHINE), paths.vmid_of(MACHINE)) == (False, None)


@pytest.mark.parametrize("vmid", [0, -1, 1_000_000_000])
def test_no_path_is_built_for_a_vmid_out_of_range(vmid: int) -> None:
    with pytest.raises(PathError):
        paths.vms_path(vmid)
