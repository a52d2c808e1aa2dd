"""What lies under the root and what it is called: ids, references, finished results, disk use."""
