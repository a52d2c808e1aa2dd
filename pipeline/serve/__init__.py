"""A finished model at work: prediction and export."""
