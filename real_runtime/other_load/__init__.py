"""How much of a machine do other programs take while something is measured there?"""
