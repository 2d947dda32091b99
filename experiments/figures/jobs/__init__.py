"""How do jobs look on paper?"""
