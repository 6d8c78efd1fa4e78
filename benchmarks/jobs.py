"""What the pools run. Workers import this module, so it imports nothing."""


def echo(value: int) -> int:
    return value
