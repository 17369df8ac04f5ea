"""Commands that name everything that is wrong with a call at once, as settings do."""

from collections.abc import Iterable, Iterator

import click

from shared.command_examples import ExemplaryCommand
from shared.environment import is_unicode


class Command(ExemplaryCommand):
    """A command that names all wrong options and arguments, not only the first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; raise `click.UsageError` with every wrong one."""
        given = [*args]
        try:
            rest = super().parse_args(ctx, args)
        except click.BadParameter:  # missing options as well
            problems = [*self._problems(ctx, given)]
        else:
            problems = [*_no_text(self.get_params(ctx), ctx)]
            if not problems:
                return rest
        raise click.UsageError("\n".join(problems), ctx)

    def _problems(self, ctx: click.Context, given: list[str]) -> Iterator[str]:
        options, rest, _ = self.make_parser(ctx).parse_args(args=given)
        for parameter in self.get_params(ctx):
            try:
                parameter.process_value(ctx, parameter.consume_value(ctx, options)[0])
            except click.BadParameter as error:
                error.ctx, error.param = ctx, parameter
                yield error.format_message()
        if rest:
            yield f"Got unexpected extra arguments ({' '.join(map(str, rest))})"


def _no_text(parameters: Iterable[click.Parameter], ctx: click.Context) -> Iterator[str]:
    """Yield a problem of each text that is not UTF-8: no JSON and no database holds such a one."""
    for parameter in parameters:
        value = ctx.params.get(parameter.name or "")
        texts = value if isinstance(value, tuple) else (value,)
        is_path = isinstance(parameter.type, click.Path)
        if not is_path and any(isinstance(each, str) and not is_unicode(each) for each in texts):
            yield click.BadParameter("expected UTF-8 text", ctx, parameter).format_message()


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def require_no_contradiction(problems: Iterable[str | None]) -> None:
    """Raise `click.UsageError` with every problem, if there is any."""
    if found := [problem for problem in problems if problem]:
        raise click.UsageError("\n".join(found))
