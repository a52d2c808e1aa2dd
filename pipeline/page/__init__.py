"""Finished runs as one HTML page or as figure files; needs the extra ``report``."""
