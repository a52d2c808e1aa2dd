"""Stage one with a memory: building the trainee, checkpoints, resuming, continuing."""
