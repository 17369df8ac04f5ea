"""What an image or a package is made of, as a CycloneDX document: the same bytes each time."""

import re
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deploy.release.base_image import SUITE, DebianPackage
from deploy.release.program_tree import DEVICE_AGENT, PRODUCT


def bill_of_materials(
    title: str, version: str, site_packages: Path, debian: Sequence[DebianPackage], at: int
) -> bytes:
    """Return the document of what is installed in a folder, and of Debian's packages below it."""
    about = Component(
        name=title,
        version=version,
        type=ComponentType.CONTAINER if debian else ComponentType.APPLICATION,
        bom_ref=f"{title}@{version}",
    )
    bom = Bom(components=[*_of_python(site_packages), *map(_of_debian, debian)])
    bom.metadata.component = about
    bom.metadata.timestamp = datetime.fromtimestamp(at, UTC)
    bom.register_dependency(about, bom.components)
    said = "\n".join(sorted(str(each.bom_ref.value) for each in bom.components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{title} {version} {at}\n{said}")
    return JsonV1Dot6(bom).output_as_string(indent=1).encode() + b"\n"


def normalized(name: str) -> str:
    """Return a Python distribution's name as PEP 503 has it: by that one it is looked up."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _of_python(site_packages: Path) -> Iterator[Component]:
    licenses = LicenseFactory()
    found = distributions(path=[str(site_packages)])
    for each in sorted(found, key=lambda distribution: distribution.name.lower()):
        expression = _said(each, "License-Expression")
        url = PackageURL("pypi", name=normalized(each.name), version=each.version)
        yield Component(
            name=each.name,
            version=each.version,
            type=ComponentType.APPLICATION if _is_ours(each) else ComponentType.LIBRARY,
            bom_ref=str(url),
            purl=None if _is_ours(each) else url,  # of a package that no index has
            description=_said(each, "Summary"),
            licenses=[licenses.make_from_string(expression)] if expression else (),
        )


def _said(distribution: Distribution, field: str) -> str | None:
    metadata = distribution.metadata
    return metadata[field] if field in metadata else None  # noqa: SIM401 - it has no `get`, by its type


def _is_ours(distribution: Distribution) -> bool:
    return distribution.name in {PRODUCT.distribution, DEVICE_AGENT.distribution}


def _of_debian(package: DebianPackage) -> Component:
    qualifiers = {"arch": package.architecture, "distro": SUITE}
    url = PackageURL("deb", "debian", package.name, package.version, qualifiers)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(url),
        purl=url,
    )
