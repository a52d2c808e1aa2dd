"""Files that data come in: downloads, lists, pickles of plain containers."""
