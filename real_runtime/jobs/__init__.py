"""How does a coordinator lead ranks through a job in which devices may be lost?"""
