"""How namespaces are opened: the settings of the environment, and what they mean here.

The original had two profiles of LMDB settings, ``default`` and ``memory``; each setting can be
overridden by an environment variable, ``DEFAULT_LMDB_...`` or ``MEMORY_LMDB_...``. They are read when
a site is opened. A setting that weakens what parkit promises works, and is warned of once a site
(:class:`~parkit.errors.WeakPromiseWarning`); so is one that has no meaning here.
"""

from __future__ import annotations

import json
from typing import Any

from . import _native, site

__all__ = ["get_profile"]


def get_profile(name: str = "default", /) -> dict[str, Any]:
    """The settings of the profile ``default`` or ``memory``, as the environment says now.

    ``map_size`` and ``max_readers`` are 0 for the built-in values; ``warnings`` are sentences.

    :raises ValueError: no such profile, or a variable that cannot be read

    >>> get_profile()['sync'], get_profile('memory')['sync']
    (True, False)
    """
    if name not in ("default", "memory"):
        raise ValueError(f"the profiles are 'default' and 'memory', not {name!r}")
    request = {"memory": name == "memory", "environment": site.settings()}
    profile: dict[str, Any] = json.loads(_native.call(_native.ctl.SiteProfile, json.dumps(request)))
    return profile
