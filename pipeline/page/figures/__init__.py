"""The figures of the page: each a function that returns a Drawing."""
