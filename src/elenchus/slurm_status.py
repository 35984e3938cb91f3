"""Snakemake's Slurm plugin, made to wait while Slurm does not answer. Without this it waits for ever, or asks the wrong command.

Plugin 2.8 drops its jobs where all status queries of a check fail, and then waits for jobs that it no longer asks about. And
where the controller does not say its MinJobAge at the moment of a check, that check asks `sacct`, which a cluster without an
accounting database never answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

MIN_JOB_AGE = 300  # seconds; Slurm's default, taken for true until the controller says otherwise


def wait_for_answers() -> None:
    """Let the plugin keep its jobs and its status command while Slurm does not answer. Twice is as once."""
    import snakemake_executor_plugin_slurm as plugin

    if getattr(plugin.Executor.check_active_jobs, "keeps_jobs", False):
        return
    ask_age, check = plugin.get_min_job_age, plugin.Executor.check_active_jobs
    said = {"age": MIN_JOB_AGE}

    def min_job_age() -> int:
        said["age"] = ask_age() or said["age"]
        return said["age"]

    async def check_active_jobs(self, active_jobs: list) -> AsyncIterator:
        answered = self._status_query_calls
        async for job in check(self, active_jobs):
            yield job
        if self._status_query_calls == answered:
            for job in active_jobs:
                yield job

    check_active_jobs.keeps_jobs = True
    plugin.get_min_job_age, plugin.Executor.check_active_jobs = min_job_age, check_active_jobs
