"""How does a rank compute its own heads, columns and tokens of every block?"""
