"""Every kind of collection with its twin, by name."""

from array_twin import ARRAY
from dict_twin import DICT, EDITED
from file_twin import FILE
from object_twin import OBJECT
from queue_twin import LIFO, PRIORITY, QUEUE

KINDS = {
    "dict": DICT,
    "edited dict": EDITED,
    "array": ARRAY,
    "queue": QUEUE,
    "lifo": LIFO,
    "priority": PRIORITY,
    "object": OBJECT,
    "file": FILE,
}
