"""Values as YAML that any reader of YAML reads as they were. Pure."""

from typing import Final

import yaml

_WIDTH: Final = 100


def yaml_text(value: object) -> str:
    """Return a value's YAML: in its own order, with texts of several lines as they are."""
    return str(
        yaml.dump(
            value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, indent=2
        )
    )


class _Dumper(yaml.SafeDumper):
    """Certificates stand as they are written, line by line."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - its signature
        """Write out what is there twice: an alias is not read again."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
