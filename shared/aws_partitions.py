"""AWS's partitions: which regions each has, and under which names its services are.

The table is botocore's own (`partitions.json`), which AWS generates for its SDKs. Nobody is asked
for it.
"""

import functools
import re
from importlib import resources
from typing import Final

import orjson
from attrs import field, frozen

COMMERCIAL: Final = "aws"
GOVCLOUD: Final = "aws-us-gov"
# Where STS and ECR have dual-stack endpoints of their API; the isolated partitions have none.
# `partitions.json` says true of all of them, `endpoints.json` does not: a test reads that.
DUAL_STACK_APIS: Final = frozenset({COMMERCIAL, GOVCLOUD, "aws-cn", "aws-eusc"})

# `partitions.json` has pseudo-regions too (`aws-global`), and its expressions take any letter.
_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,12}){1,2}-[0-9]{1,2}", re.ASCII)
# AWS's endpoint rules put a region that they do not know yet into the commercial partition.
_UNKNOWN_REGION: Final = re.compile(r"[a-z]{2}-[a-z]{4,12}-[0-9]{1,2}", re.ASCII)
_API: Final = "api."
_REGISTRIES: Final = "on."


@frozen
class Partition:
    """One part of AWS, with accounts, roles and names of its own."""

    id: str  # as in an ARN
    dns_suffix: str  # `amazonaws.com`
    dual_stack_registries: str  # `on.aws`: what dual-stack hosts of registries end in
    regions: frozenset[str] = field(repr=False)  # pseudo-regions such as `aws-global` too
    region_pattern: re.Pattern[str] = field(repr=False)  # how its future regions will be named


@functools.cache
def partitions() -> dict[str, Partition]:
    """Return every partition by its id."""
    table = resources.files("botocore") / "data" / "partitions.json"
    found = map(_partition, orjson.loads(table.read_bytes())["partitions"])
    return {partition.id: partition for partition in found}


def partition_of_region(region: str) -> Partition | None:
    """Return the partition that a region is in; None if the text is no region's name."""
    if _REGION.fullmatch(region) is None:
        return None
    every = partitions().values()
    named = (each for each in every if region in each.regions)
    to_come = (each for each in every if each.region_pattern.fullmatch(region))
    otherwise = partitions()[COMMERCIAL] if _UNKNOWN_REGION.fullmatch(region) else None
    return next(named, next(to_come, otherwise))


def _partition(row: dict[str, object]) -> Partition:
    outputs, regions = row["outputs"], row["regions"]
    if not isinstance(outputs, dict) or not isinstance(regions, dict):
        raise TypeError("botocore's partitions.json has another form than expected")
    return Partition(
        id=str(row["id"]),
        dns_suffix=outputs["dnsSuffix"],
        # The API's dual-stack names end in `api.aws`, those of registries in `on.aws`.
        dual_stack_registries=_REGISTRIES + outputs["dualStackDnsSuffix"].removeprefix(_API),
        regions=frozenset(regions),
        region_pattern=re.compile(str(row["regionRegex"]), re.ASCII),
    )
