"""What was seen, round by round, and what it comes to. Pure."""

from statistics import median

from attrs import define, field, frozen

from tests.bench.figures import FACADE, RIVALS, Bar, Figure


@frozen
class Verdict:
    """A bar, what it was held against, and whether it is met."""

    bar: Bar
    value: float
    is_met: bool


@define
class Observations:
    """The values of each figure and each server, one for each round."""

    values: dict[str, dict[str, list[float]]] = field(factory=dict)

    def add(self, key: str, server: str, value: float) -> None:
        """Keep the value of the next round."""
        self.values.setdefault(key, {}).setdefault(server, []).append(value)

    def of(self, figure: Figure, server: str) -> list[float]:
        """Return a server's values; none where it was not measured."""
        return self.values.get(figure.key, {}).get(server, [])

    def median(self, figure: Figure, server: str) -> float | None:
        """Return the median of a server's rounds; None where it was not measured."""
        values = self.of(figure, server)
        return median(values) if values else None

    def ratio(self, figure: Figure, rival: str) -> float | None:
        """Return the median of the facade's ratio to a rival within each round; None without one.

        Rounds are interleaved: what disturbs one server of a round mostly disturbs all, and goes.
        """
        if not figure.is_compared:
            return None
        pairs = zip(self.of(figure, FACADE), self.of(figure, rival), strict=False)
        ratios = [ours / theirs for ours, theirs in pairs if theirs]
        return median(ratios) if ratios else None

    def verdicts(self, figure: Figure) -> list[Verdict]:
        """Return how the facade stands against each bar of a figure that can be judged.

        Where one of several bars is enough: against one that is met, else against the first.
        """
        judged = []
        for bar in figure.bars:
            rival = bar.rival
            value = self.ratio(figure, rival) if rival else self.median(figure, FACADE)
            if value is not None:
                judged.append(Verdict(bar, value, bar.is_met_by(value)))
        if figure.is_met_by_one:
            return sorted(judged, key=lambda verdict: not verdict.is_met)[:1]
        return judged

    def summary(self, figure: Figure) -> dict[str, object]:
        """Return everything that is known of a figure, for JSON."""
        return {
            "key": figure.key,
            "title": figure.title,
            "unit": figure.unit,
            "rounds": self.values.get(figure.key, {}),
            "medians": {server: self.median(figure, server) for server in (FACADE, *RIVALS)},
            "ratios": {rival: self.ratio(figure, rival) for rival in RIVALS},
            "bars": [
                {
                    "side": verdict.bar.side.value,
                    "limit": verdict.bar.limit,
                    "of": verdict.bar.rival,
                    "value": verdict.value,
                    "met": verdict.is_met,
                }
                for verdict in self.verdicts(figure)
            ],
        }
