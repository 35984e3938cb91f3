"""The job of every stage: hands the stage's specification to the library."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

from elenchus.run_stage import main

# os._exit: torch's and pyarrow's threads can take seconds to wind down, and everything is on disk
code = main(snakemake.params.spec, log=snakemake.log[0])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
