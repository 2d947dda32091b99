"""What does a sample cost in joules, where do they go, and which assumption decides the order of methods?"""
