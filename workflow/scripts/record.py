"""The job of a recipe's records: its report, its MLflow runs, its links, metrics and published data sets."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

from elenchus.records import main

sys.exit(main(snakemake.params.what, snakemake.params.recipe, Path(snakemake.output[0]), snakemake.params.overrides))
