"""Networks as people write them: one spelling is kept, and what can't be meant is refused with the reason."""

import pytest

from config.edge.networks import parse_network


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("10.20.0.0/16", "10.20.0.0/16"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.7/32", "192.0.2.7/32"),
        ("2001:DB8:0:0::/32", "2001:db8::/32"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001/128", "2001:db8::1/128"),
        ("::/0", "::/0"),
        ("::ffff:10.20.0.0/112", "10.20.0.0/16"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_a_network_has_one_spelling(written: str, kept: str) -> None:
    assert str(parse_network(written)) == kept


@pytest.mark.parametrize(
    ("written", "meant"),
    [("10.20.0.1/16", "10.20.0.0/16"), ("2001:db8::1/32", "2001:db8::/32"), ("10.0.0.0/0", "0.0.0.0/0")],
)
def test_bits_behind_the_prefix_are_refused_and_the_network_meant_is_named(written: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"The network is {meant}"):
        parse_network(written)


@pytest.mark.parametrize(
    "written",
    [
        *("", " ", "10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8 "),
        *("10.0.0.0/8\n", "10.0.0.0/255.0.0.0", "10.0.0.0/0.255.255.255", "10.0.0/8", "010.0.0.0/8"),
        *(
            "10.0.0.0/8/8",
            "fe80::%eth0/64",
            "::/129",
            "::1::/64",
            "localhost/8",
            "0x0a000000/8",
            "167772160/8",
        ),
        *(
            "\u0661\u0660.0.0.0/8",
            "10.0.0.0/\u0668",
            "10.0.0.0-10.0.0.9",
            "10.0.0.0/8,10.1.0.0/16",
            "1" * 500,
        ),
    ],
)
def test_what_is_no_network_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="with its prefix length"):
        parse_network(written)
