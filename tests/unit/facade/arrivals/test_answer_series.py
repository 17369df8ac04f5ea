"""What a download asks for becomes more, and never less."""

from itertools import product

import pytest

from facade.arrivals.answer_series import AnswerSeries, Asks
from shared.oci import Digest, RepositoryName
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect

DRAWN = {("SPAN", "REST"), ("REST", "REST"), ("REST", "WHOLE"), ("WHOLE", "WHOLE")}


@pytest.mark.parametrize("before, after", list(product(Asks, Asks)))
async def test_only_what_is_drawn_happens(before: Asks, after: Asks, connect: Connect) -> None:
    """A registry that gave no range once is not asked for one again."""
    async with RegistrySimulator() as registry:
        upstream, repository = await connect(registry), RepositoryName("team/app")
        answers = AnswerSeries(upstream, repository, Digest.of(b""), before)
        if (before.name, after.name) in DRAWN:
            answers.go_over(after)
            assert answers.asks is after
        else:
            with pytest.raises(RuntimeError):
                answers.go_over(after)
            assert answers.asks is before
