"""The data of runs: of earlier versions, which knew them otherwise, and those that are gone."""
