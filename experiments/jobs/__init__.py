"""How is a whole job played, kept and shown?"""
