"""Where would published planners put a model? One file per publication, named by its system."""
