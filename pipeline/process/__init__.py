"""The process at work: its environment and provenance, signals, dead workers, progress."""
