"""How does a rank compute whole layers?"""
