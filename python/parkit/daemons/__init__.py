"""The processes of the pool. They are started by :func:`parkit.enable_tasks`, not by hand."""
