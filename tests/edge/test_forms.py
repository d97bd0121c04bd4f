"""What forms of commands share."""

from django import forms

from config.edge.commands import offer


class Order(forms.Form):
    fleet = forms.ChoiceField()
    scopes = forms.MultipleChoiceField()


def test_the_only_choice_is_made_already_but_not_where_several_can_be() -> None:
    order = Order()

    offer(order, "fleet", [("edge", "Edge")])
    offer(order, "scopes", [("machines:read", "Reads")])

    assert (order["fleet"].value(), order["scopes"].value()) == ("edge", None)


def test_of_several_choices_none_is_made_already() -> None:
    order = Order()

    offer(order, "fleet", [("edge", "Edge"), ("core", "Core")])

    assert order["fleet"].value() is None
    assert len(order.fields["fleet"].choices) == 2  # type: ignore[attr-defined]
