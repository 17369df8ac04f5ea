"""One identifier, one meaning: no two classes or named types of the product share a name."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def names_in(module: ast.Module) -> Iterator[str]:
    """Give the public classes of a module, and the types that it names (`Piece = bytes | ...`)."""
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name[0].isupper() and not name.isupper():
                    yield name
            case _:
                pass


def types(*folders: Path) -> dict[str, list[Path]]:
    """Return every public class and named type by its name, with the files that define one."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        for name in names_in(ast.parse(path.read_text("utf-8"))):
            found[name].append(path)
    return found


def shared_names(found: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Return the names that several of them have."""
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def test_no_two_types_of_the_product_share_a_name() -> None:
    """A name in a log, a traceback or a review is then one thing."""
    found = types(*(REPOSITORY / name for name in ("control_plane", "facade", "shared")))
    assert len(found) > 400
    assert shared_names(found) == {}


def test_a_name_that_is_there_twice_is_found(tmp_path: Path) -> None:
    """A check that finds nothing would prove nothing."""
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("class Part:\n    pass\n\n\nName = str | bytes\n")
    two.write_text("class Part:\n    pass\n\n\nclass Name:\n    pass\n")
    assert shared_names(types(tmp_path)) == {"Part": [one, two], "Name": [one, two]}
