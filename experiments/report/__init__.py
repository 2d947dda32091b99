"""How does a run, a sweep or a job read as one page that needs nothing else?"""
