"""How a file comes to exist and why it is trusted: atomic publishing, hashes, checked JSON, tensor files."""
