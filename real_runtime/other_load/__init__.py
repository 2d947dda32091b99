"""What shares a machine's processors: how much do other programs take, and which of a rank's threads run first?"""
