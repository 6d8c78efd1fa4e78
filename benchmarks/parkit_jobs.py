"""The same as a task of parkit. Imported when the default site is set."""

import jobs

import parkit


@parkit.asyncable
def echo(value: int) -> int:
    return jobs.echo(value)
