"""How does a scenario happen to emulated hosts?"""
