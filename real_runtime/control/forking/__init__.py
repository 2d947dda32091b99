"""How does a rank get a process of its own, without loading what all of them need?"""
