"""The surroundings of a job's process, set in one place: offline, quiet, reproducible."""

from __future__ import annotations

import os
import warnings

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
}
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",  # jobs say their own progress, once in five seconds
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}
REPRODUCIBLE = {
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",  # for the processes that this one starts
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
# Threads that wait for each other sleep instead of spinning. Where another process wants the same cores, spinning ones
# all but stop: of two trainings with two threads each on two cores, neither got through 50 steps in three minutes.
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}


def quiet() -> None:
    """Set the variables above where the user has not; call it before torch, transformers, trl, mlflow are imported."""
    for name, value in {**OFFLINE, **QUIET, **REPRODUCIBLE, **PATIENT}.items():
        os.environ.setdefault(name, value)
    # TRL uses names that transformers is about to rename: nothing that a user could act on
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")


def torch_setup(threads: int) -> None:
    """Fix torch's threads and ask for deterministic algorithms: results depend on both.

    On CUDA some operations have no deterministic form (a cumulative sum, for one): torch then warns instead of failing.
    """
    quiet()
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs time in every allocation
