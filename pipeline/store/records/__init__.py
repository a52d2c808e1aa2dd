"""What results say of themselves, verified: DONE and the files it lists, the records of runs, an index."""
