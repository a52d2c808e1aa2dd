"""The data of runs that earlier versions made, and of runs whose data are gone."""
