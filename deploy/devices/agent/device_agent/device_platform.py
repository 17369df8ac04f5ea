"""Which platform a device is, in the words of images, and what runs on it. Pure."""

from typing import Final, Self

from attrs import frozen

# uname's word -> the OCI's (Go's GOARCH), and the variants that run there, best first. "" stands
# for an image that names no variant: many builders leave it out.
_MACHINES: Final = {
    "x86_64": ("amd64", ("", "v1")),
    "aarch64": ("arm64", ("v8", "")),
    "armv8l": ("arm", ("v8", "v7", "", "v6", "v5")),
    "armv7l": ("arm", ("v7", "", "v6", "v5")),
    "armv6l": ("arm", ("v6", "v5", "")),
    "i686": ("386", ("",)),
}


@frozen
class Platform:
    """What a device is: `linux`, an architecture, and what it runs of that."""

    architecture: str
    variants: tuple[str, ...] = ("",)

    @classmethod
    def of_machine(cls, machine: str) -> Self:
        """Return the platform of a machine, in uname's word for it."""
        architecture, variants = _MACHINES.get(machine, (machine, ("",)))
        return cls(architecture, variants)

    def rank(self, said: object) -> int | None:
        """Return how well it runs what says this of its platform, 0 for best; None: not at all.

        `said`: an object with `os`, `architecture` and perhaps `variant`.
        """
        match said:
            case {"os": "linux", "architecture": self.architecture, "variant": str(variant)}:
                return self._rank(variant)
            case {"os": "linux", "architecture": self.architecture, "variant": _}:
                return None
            case {"os": "linux", "architecture": self.architecture}:
                return self._rank("")
            case _:
                return None

    def _rank(self, variant: str) -> int | None:
        return self.variants.index(variant) if variant in self.variants else None

    def __str__(self) -> str:
        """As images name it."""
        return f"linux/{self.architecture}{f'/{self.variants[0]}' if self.variants[0] else ''}"
