"""Pictures and clips, made without a window."""
