"""What others land or commit under the model's prefix, observed: one data version per window."""

import dagster as dg

from mlops_assets import clock
from mlops_assets.assets.commits import key, partitions
from mlops_assets.batches.landing import Kind, landed_versions
from mlops_assets.declaration import Declaration
from mlops_assets.resources import RepositoryResource

SOURCES: dict[Kind, str] = {"batches": "source", "labels": "labels_source"}


def build(declaration: Declaration, kind: Kind) -> dg.SourceAsset:
    """Return the source of batches, or of labels.

    A version is the checksum of what lies there for a window, whether on a landing branch or on
    main, so merging it, our own commit, changes nothing.
    """
    what = "Data" if kind == "batches" else "What came true"

    @dg.observable_source_asset(
        key=key(declaration, SOURCES[kind]),
        partitions_def=partitions(declaration),
        group_name=declaration.name,
        description=f"{what}, as others landed it: `mlops land {declaration.name} FILE`.",
    )
    def source(mlops_repository: RepositoryResource) -> dg.DataVersionsByPartition:
        # what is none of the partitions yet, or no window at all, Dagster can't be told
        windows, now = declaration.windows, clock.now()
        return dg.DataVersionsByPartition(
            {
                window: version
                for window, version in landed_versions(
                    mlops_repository.get(), declaration, kind
                ).items()
                if windows.declares(window) and windows.has_ended(window, now)
            }
        )

    return source
