"""The process that works: its device and versions, signals, dead workers, progress."""
