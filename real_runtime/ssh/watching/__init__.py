"""What do other programs take of each host's processors while something is measured there?"""
