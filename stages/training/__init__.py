"""What a training step is made of: optimisers, schedules, the step, weights from elsewhere."""
