"""How does the energy of ways to share a training look on paper?"""
