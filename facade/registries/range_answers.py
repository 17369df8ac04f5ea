"""Whether a registry gives ranges, as its latest answers say. In memory, for one upstream."""

from attrs import define


@define(eq=False)
class RangeAnswers:
    """What one registry made of the ranges that it was asked for."""

    gives: bool = False  # the latest that it was asked for; unknown counts as no
    gives_suffixes: bool = True  # last bytes (`-N`), by themselves; unknown counts as yes

    def note(self, *, is_given: bool, is_suffix: bool) -> None:
        """Note whether it gave what it was asked for."""
        if is_suffix:
            self.gives_suffixes = is_given
        else:
            self.gives = is_given
