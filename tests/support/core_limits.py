"""How large a core a process may leave, as Linux tells it."""

from pathlib import Path


def core_limits(pid: int) -> tuple[str, str]:
    """Return the soft limit and the hard one, from /proc (proc(5))."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    soft, hard = line.split()[4:6]
    return soft, hard
