"""When have bytes arrived that share a network with others?"""
