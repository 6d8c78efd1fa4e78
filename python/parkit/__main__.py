"""``python -m parkit``: the command line, see :mod:`parkit.cli`."""

import sys

from .cli import main

sys.exit(main())
