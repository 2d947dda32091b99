"""How is a prepared run executed on a testbed?"""
