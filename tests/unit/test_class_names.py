"""One identifier, one meaning: no two classes of the product share a name."""

import ast
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def classes(*folders: Path) -> dict[str, list[Path]]:
    """Return every public class by its name, with the files that define one."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(path)
    return found


def shared_names(found: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Return the names that several classes have."""
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def test_no_two_classes_of_the_product_share_a_name() -> None:
    """A name in a log, a traceback or a review is then one thing."""
    found = classes(*(REPOSITORY / name for name in ("control_plane", "facade", "shared")))
    assert len(found) > 400
    assert shared_names(found) == {}


def test_a_name_that_is_there_twice_is_found(tmp_path: Path) -> None:
    """A check that finds nothing would prove nothing."""
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("class Part:\n    pass\n")
    assert shared_names(classes(tmp_path)) == {"Part": [tmp_path / "one.py", tmp_path / "two.py"]}
