"""Whether a registry gives ranges, as its latest answers say. In memory, for one upstream."""

from attrs import define


@define(eq=False)
class RangeAnswers:
    """What one registry made of the ranges that it was asked for."""

    gives: bool = False  # the latest that it was asked for; unknown counts as no
