"""Programs to look at what parkit does."""
