"""Where do relative paths in a configuration file lead, and how is such a file copied?"""
