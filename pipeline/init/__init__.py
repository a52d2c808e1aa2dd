"""A first configuration, proposed from a folder of pictures."""
