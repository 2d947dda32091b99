"""How does a rank play an iteration?"""
