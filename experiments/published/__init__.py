"""How far is what the suite says from what others published? A file per kind of claim."""
