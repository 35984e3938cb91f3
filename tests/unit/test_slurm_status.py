"""Snakemake's Slurm plugin while Slurm does not answer: it keeps its jobs, and asks the command that it was told to ask."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as plugin

from elenchus import slurm_status


@pytest.fixture
def asked(monkeypatch):
    """Return the commands that the plugin asks; its own functions are put back afterwards. `answers`: what it is told."""
    monkeypatch.setattr(plugin, "get_min_job_age", lambda: asked.age)
    monkeypatch.setattr(plugin.Executor, "check_active_jobs", plugin.Executor.check_active_jobs)
    monkeypatch.setattr(plugin, "is_query_tool_available", lambda name: True)
    asked = SimpleNamespace(commands=[], age=None, answer=(None, None))

    async def query(command, logger):
        asked.commands.append(command.split()[0])
        return asked.answer

    monkeypatch.setattr(plugin, "query_job_status", query)
    return asked


def check(jobs: list) -> list:
    """Return the jobs that one check of the plugin still waits for."""
    settings = SimpleNamespace(status_attempts=3, init_seconds_before_status_checks=15, status_command="squeue")
    executor = SimpleNamespace(
        workflow=SimpleNamespace(executor_settings=settings),
        logger=logging.getLogger("of this test"),
        status_rate_limiter=contextlib.nullcontext(),
        run_uuid="uuid",
        get_status_command=lambda: "squeue",
        next_seconds_between_status_checks=15,
        _status_query_calls=0,
        _status_query_failures=0,
        _status_query_total_seconds=0.0,
        _status_query_min_seconds=None,
        _status_query_max_seconds=0.0,
        _status_query_cycle_rows=[],
    )

    async def told() -> list:
        return [job async for job in plugin.Executor.check_active_jobs(executor, jobs)]

    return asyncio.run(told())


def job(number: str) -> SimpleNamespace:
    return SimpleNamespace(external_jobid=number, aux={})


def test_jobs_are_kept_while_nothing_is_answered(asked):
    jobs = [job("1"), job("2")]
    assert check(jobs) == [], "the plugin no longer drops its jobs: elenchus.slurm_status can go"
    slurm_status.wait_for_answers()
    assert check(jobs) == jobs
    asked.answer = ({"1": "RUNNING"}, 0.1)
    assert check(jobs) == jobs  # and once only, where it answers


def test_the_status_command_stays_while_the_controller_is_silent(asked):
    check([job("1")])
    assert set(asked.commands) == {"sacct"}, "the plugin no longer falls back: elenchus.slurm_status can go"
    slurm_status.wait_for_answers()
    slurm_status.wait_for_answers()
    asked.commands.clear()
    check([job("1")])
    assert set(asked.commands) == {"squeue"}
    asked.age = 10  # what the controller says counts, and is remembered
    check([job("1")])
    asked.age = None
    asked.commands.clear()
    check([job("1")])
    assert set(asked.commands) == {"sacct"}
