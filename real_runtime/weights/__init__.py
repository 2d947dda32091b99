"""How do weights lie in files, and how are they read again?"""
