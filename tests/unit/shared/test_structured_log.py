"""The log of a real process at debug level: what is in it, and that no canary is."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import orjson
import pytest

CANARY = "canary5f3a"
PREAMBLE = """
import asyncio, logging, sys, threading, warnings
from shared.secret import Secret
from shared.structured_log import STANDARD_ERROR, configure, get_logger, log_context
canary = "canary5f3a"
"""


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program from a file, as a process of its own, for the hooks are the interpreter's."""
    file = folder / "program.py"
    file.write_text(PREAMBLE + textwrap.dedent(program))
    return subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, check=False, timeout=60
    )


def lines_of(text: str) -> list[dict[str, Any]]:
    """Return the lines, each of which is JSON and holds no canary."""
    assert CANARY not in text
    return [orjson.loads(line) for line in text.splitlines()]


def logged(program: str, folder: Path) -> list[dict[str, Any]]:
    """Return what a program logs at debug level; nothing goes past the log."""
    ended = run(f"configure('debug')\n{textwrap.dedent(program)}", folder)
    assert ended.stderr == ""
    return lines_of(ended.stdout)


def test_a_line_says_when_how_grave_who_and_what(tmp_path: Path) -> None:
    """Every reader of logs starts from these four."""
    (line,) = logged('get_logger("facade.pull").info("answered", status=200)', tmp_path)
    assert list(line) == ["time", "level", "logger", "event", "status"]
    assert (line["level"], line["logger"], line["event"]) == ("info", "facade.pull", "answered")
    assert line["status"] == 200
    assert len(line["time"]) == len("2026-01-02T03:04:05.678Z")
    assert line["time"].endswith("Z")


def test_fields_that_nobody_allowed_keep_their_name_alone(tmp_path: Path) -> None:
    """Above all those that callers call `token`, `url` or `headers`."""
    (line,) = logged(
        """
        get_logger("x").debug("event", token=canary, url=canary, headers={"a": canary},
            host=Secret(canary), repository=canary.encode(), reason=ValueError(canary),
            time=canary, level=canary, logger=canary, exception=canary, source=canary)
        """,
        tmp_path,
    )
    redacted = {"token", "url", "headers", "host", "repository", "reason", "exception", "source"}
    assert {name for name, value in line.items() if value == "<redacted>"} == redacted
    assert (line["level"], line["logger"]) == ("debug", "x")


def test_fields_that_were_bound_are_in_every_line(tmp_path: Path) -> None:
    """By the same table; and a library's own structlog logger has no name."""
    bound, nameless = logged(
        """
        import structlog
        get_logger("x").bind(host="registry.example", token=canary).info("event", status=200)
        structlog.get_logger().info("event")
        """,
        tmp_path,
    )
    assert (bound["host"], bound["token"], bound["status"]) == (
        "registry.example",
        "<redacted>",
        200,
    )
    assert (bound["logger"], nameless["logger"]) == ("x", "")


def test_an_event_that_is_no_text_is_withheld(tmp_path: Path) -> None:
    """Somebody logs the exception itself."""
    (line,) = logged('get_logger("x").error(ValueError(canary))', tmp_path)
    assert "withheld" in line["event"]


def test_exceptions_are_logged_without_what_others_wrote(tmp_path: Path) -> None:
    """Messages, arguments and locals of a chain."""
    given, current = logged(
        """
        def fail(argument):
            local = f"{argument}"
            raise RuntimeError(argument, Secret(local))
        try:
            try:
                fail(canary)
            except RuntimeError as error:
                raise ConnectionResetError(104, canary) from error
        except OSError as error:
            get_logger("x").warning("given", exc_info=error)
            get_logger("x").exception("current")
        """,
        tmp_path,
    )
    assert current["level"] == "error"
    for line in (given, current):
        types = [each["type"] for each in line["exception"]]
        assert types == ["ConnectionResetError", "RuntimeError"]
        assert line["exception"][0]["errno"] == "ECONNRESET"
        assert line["exception"][1]["frames"][-1].endswith(":fail")


def test_context_is_on_the_lines_of_its_task_alone(tmp_path: Path) -> None:
    """A request's id is on every line of that request, and of no other."""
    lines = logged(
        """
        log = get_logger("x")
        async def request(number):
            with log_context(request_id=f"r{number}", token=canary):
                await asyncio.sleep(0)
                log.info("answered", count=number)
                logging.getLogger("library").info("inside")
            log.info("after")
        async def main():
            await asyncio.gather(request(1), request(2))
        asyncio.run(main())
        """,
        tmp_path,
    )
    answered = [line for line in lines if line["event"] == "answered"]
    assert [(line["request_id"], line["count"]) for line in answered] == [("r1", 1), ("r2", 2)]
    inside = [line for line in lines if line["event"] == "inside"]
    assert [line["request_id"] for line in inside] == ["r1", "r2"]
    assert all("request_id" not in line for line in lines if line["event"] == "after")


def test_records_of_libraries_show_their_literal_alone(tmp_path: Path) -> None:
    """What a library formats into its message may be a header, a URL or a body."""
    lines = logged(
        """
        library = logging.getLogger("aiohttp.web")
        def handle(request):
            library.error("Error handling %s of %d", request, 7, extra={"token": canary})
            library.error("no arguments")
            library.error(f"Error handling {request}")
            library.error("Error " + request, 7)
            library.error("Error {}".format(request))
            library.error(ValueError(request))
            library.critical(request)
            try:
                raise ValueError(request)
            except ValueError:
                library.exception("failed for %s", request)
        handle(canary)
        """,
        tmp_path,
    )
    withheld = "message withheld: it is not a literal"
    assert [line["event"] for line in lines] == [
        "Error handling %s of %d",
        "no arguments",
        *[withheld] * 5,
        "failed for %s",
    ]
    assert {line["logger"] for line in lines} == {"aiohttp.web"}
    assert {line["level"] for line in lines} == {"error"}
    assert all(line["source"].endswith(":handle") for line in lines)
    assert lines[-1]["exception"][0]["type"] == "ValueError"


def test_a_library_that_names_another_caller_is_not_believed(tmp_path: Path) -> None:
    """With `stacklevel`, the literal would be looked for in a function that did not write it."""
    (line,) = logged(
        """
        def helper(text):
            logging.getLogger("library").warning(f"told {text}", stacklevel=2)
        def caller():
            helper(canary)
        caller()
        """,
        tmp_path,
    )
    assert "withheld" in line["event"]


def test_a_message_that_cannot_be_formatted_is_no_error(tmp_path: Path) -> None:
    """Logging's own handler prints the arguments to standard error."""
    (line,) = logged('logging.getLogger("x").warning("%d %d", canary)', tmp_path)
    assert line["event"] == "%d %d"


def test_warnings_are_logged_by_category_and_place(tmp_path: Path) -> None:
    """A resource warning shows the peer and the file of what was not closed."""
    (line,) = logged("warnings.warn(f'unclosed {canary}', UserWarning)", tmp_path)
    assert (line["logger"], line["error"]) == ("warnings", "UserWarning")
    assert "program.py:" in line["source"]


def test_what_nobody_catches_is_logged_and_not_printed(tmp_path: Path) -> None:
    """The interpreter would print messages and source lines to standard error."""
    lines = logged(
        """
        def fail(text):
            raise ValueError(text)
        class Destroyed:
            def __del__(self):
                fail(canary)
        Destroyed()
        thread = threading.Thread(target=fail, args=(canary,))
        thread.start()
        thread.join()
        async def main():
            asyncio.get_running_loop().call_soon(fail, canary)
            asyncio.create_task(asyncio.sleep(0)).add_done_callback(lambda _: fail(canary))
            await asyncio.sleep(0.01)
        asyncio.run(main())
        fail(canary)
        """,
        tmp_path,
    )
    failures = [line for line in lines if "exception" in line]
    assert [line["logger"] for line in failures] == [
        "uncaught",
        "uncaught",
        "asyncio",
        "asyncio",
        "uncaught",
    ]
    assert {line["exception"][0]["type"] for line in failures} == {"ValueError"}


def test_the_exit_code_of_a_crash_stays(tmp_path: Path) -> None:
    """A supervisor restarts what ended with 1."""
    ended = run("configure('info')\nraise ValueError(canary)", tmp_path)
    assert ended.returncode == 1
    assert len(lines_of(ended.stdout)) == 1


@pytest.mark.parametrize(
    "level, events",
    [
        ("debug", ["d", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
    ],
)
def test_a_level_holds_for_us_and_for_libraries(
    tmp_path: Path, level: str, events: list[str]
) -> None:
    """One setting for the whole stream."""
    ended = run(
        f"""
        configure({level!r})
        for log in (get_logger("x"), logging.getLogger("y")):
            log.debug("d"), log.info("i"), log.warning("w"), log.error("e")
        """,
        tmp_path,
    )
    assert [line["event"] for line in lines_of(ended.stdout)] == events * 2


def test_a_command_keeps_standard_output_for_its_result(tmp_path: Path) -> None:
    """`operators add` prints the token there, alone."""
    ended = run(
        """
        configure("warning", STANDARD_ERROR)
        get_logger("x").warning("told", token=canary)
        print("result")
        """,
        tmp_path,
    )
    assert ended.stdout == "result\n"
    assert [line["event"] for line in lines_of(ended.stderr)] == ["told"]


def test_before_it_is_configured_the_log_redacts_too(tmp_path: Path) -> None:
    """A library that is imported early, or a command that forgot."""
    ended = run(
        """
        log = get_logger("x")
        log.info("not told", token=canary)
        log.warning("told", token=canary)
        configure("info")
        log.info("told now", token=canary)
        """,
        tmp_path,
    )
    assert [line["event"] for line in lines_of(ended.stderr)] == ["told"]
    assert [line["event"] for line in lines_of(ended.stdout)] == ["told now"]


def test_a_reader_that_went_away_stops_nothing(tmp_path: Path) -> None:
    """A pull is worth more than its log line."""
    ended = run(
        """
        import os
        reader, writer = os.pipe()
        os.close(reader)
        configure("debug", writer)
        get_logger("x").info("lost")
        os.close(writer)
        get_logger("x").info("lost")
        print("went on")
        """,
        tmp_path,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "went on\n", "")


def test_lines_of_many_threads_do_not_run_into_one_another(tmp_path: Path) -> None:
    """A long line is written in one go."""
    lines = logged(
        """
        log = get_logger("x")
        def write(number):
            for _ in range(50):
                log.info("long", count=number, problems=["x" * 500] * 30)
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """,
        tmp_path,
    )
    assert len(lines) == 400


REPEATED = """
from shared.structured_log import RepeatedLine, rendered_fields
log = get_logger("facade.pull").bind()
names = {"status": int, "bytes": int, "duration_ms": float}
line = RepeatedLine.of(log, "answered", names, outcome="100 %", reason="")
rest = rendered_fields(host="registry.example", token=canary)
def both(request_id, *numbers):
    line.write(request_id, numbers, rest.members)
    log.info("answered", request_id=request_id, outcome="100 %", reason="", rendered=rest,
        **dict(zip(names, numbers)))
"""


@pytest.mark.parametrize(
    "call",
    [
        "both('0123abcd', 200, 7, 0.0123456)",
        "both('0123abcd', 206, 2**40, 1e-9)",
        "both('x', 200, 0, 123456.789)",
        "both('no<plain>id', 200, 7, 1.5)",
        "with log_context(method='GET', url=canary): both('0123abcd', 200, 7, 1.5)",
    ],
)
def test_a_repeated_line_is_what_any_other_way_would_write(call: str, tmp_path: Path) -> None:
    """It is only made faster. Whatever is no plain id, or has a context, takes the other way."""
    repeated, line = logged(f"{REPEATED}\n{call}", tmp_path)
    assert repeated.pop("time") <= line.pop("time")
    assert repeated == line


def test_a_repeated_line_below_the_level_is_not_written(tmp_path: Path) -> None:
    """As any other one at `info`."""
    program = f"configure('warning')\n{REPEATED}\nboth('0123abcd', 200, 7, 1.5)"
    ended = run(program, tmp_path)
    assert (ended.stdout, ended.stderr) == ("", "")


def test_a_repeated_line_has_numbers_alone(tmp_path: Path) -> None:
    """A text would have to be escaped each time."""
    program = f"configure('info')\n{REPEATED}\nRepeatedLine.of(log, 'answered', dict(host=int))"
    assert "AssertionError" in run(program, tmp_path).stdout
