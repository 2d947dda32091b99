"""The front door: configurations in, results out. The only package that imports Hydra and Matplotlib."""
