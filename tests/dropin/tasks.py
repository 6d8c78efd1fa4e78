"""Functions that run in the pool's workers, and objects that they share with the program."""

import logging
import sys

from parkit import *

logger = logging.getLogger(__name__)

set_default_site(sys.argv[1], create=True)


@asyncable
def cumsum(numbers, sums):
    total = 0
    for number in numbers:
        total += number
        # This mistake is deliberate.
        sums.append(summation)  # noqa: F821
    logger.info("finished")
    return total


@asyncable(default_sync=True)
def add(a, b=1):
    return a + b


assert cumsum.path == "module/cumsum"
assert cumsum.function.__name__ == "cumsum"
assert add(1) == 2 and add(1, b=5) == 6 and add.invoke(args=(3,), kwargs={"b": 4}) == 7

set_concurrency(2)
assert get_concurrency() == 2
assert enable_tasks() is True
try:
    assert enable_tasks() is False  # they run already
    numbers, sums = Array(), Array()
    numbers.extend([1, 2, 3, 4, 5])
    trace = cumsum(numbers, sums)
    assert isinstance(trace, Task)
    wait(lambda: trace.done)
    assert trace.status == "failed" and isinstance(trace.error, NameError) and trace.result is None
    assert list(sums) == []

    @asyncable
    def cumsum(numbers, sums):
        total = 0
        for number in numbers:
            total += number
            sums.append(total)
        return True

    trace = cumsum(numbers, sums)
    wait(lambda: trace.done)
    assert trace.status == "finished" and trace.result is True and trace.error is None
    assert list(sums) == [1, 3, 6, 10, 15]
    assert trace.args == (numbers, sums) and trace.kwargs == {}
    assert trace.created <= trace.start <= trace.end and trace.pid > 0 and not trace.running

    more = [add(n, b=n, sync=False) for n in range(16)]
    wait(lambda: all(trace.done for trace in more))
    assert [trace.result for trace in more] == [2 * n for n in range(16)]
    assert {trace.status for trace in tasks()} == {"failed", "finished"}
    assert len(list(tasks("failed"))) == 1 and len(list(add.tasks())) == 16

    sums.clear()
    assert cumsum(numbers, sums, sync=True) is True  # here, not there
    assert list(sums) == [1, 3, 6, 10, 15]
    assert task() is None  # this is no worker
    more[0].drop()
    assert len(list(add.tasks())) == 15
finally:
    disable_tasks()

# Another program binds the function by its path.
same = Asyncable("module/add")
assert same(4, sync=True) == 5
assert bind_symbols("module", overwrite=True)

print("tasks: fine")
