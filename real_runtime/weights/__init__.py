"""How are trained weights kept, and read again?"""
