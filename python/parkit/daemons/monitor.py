"""The monitor: one process a site that starts, watches and replaces its workers.

``python -m parkit.daemons.monitor SITE``. All that it does is in the core (gocore/pool).
"""

from __future__ import annotations

import json
import sys

from parkit import _native, pool, site


def main(path: str) -> int:
    """Run until the pool is stopped. 0 also where the site has a monitor already."""
    request = pool.request_for(site.open_site(path))
    _native.call(_native.ctl.PoolMain, json.dumps(request))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
