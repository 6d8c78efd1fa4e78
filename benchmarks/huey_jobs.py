"""The same as a task of huey, which its consumer imports; the database is named by the environment."""

import os

import jobs
from huey import SqliteHuey

huey = SqliteHuey(filename=os.environ["BENCHMARK_HUEY_DATABASE"])


@huey.task()
def echo(value: int) -> int:
    return jobs.echo(value)
