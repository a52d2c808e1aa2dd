"""Pictures on their way to the network: read, resized, kept or decoded, augmented, in batches."""
