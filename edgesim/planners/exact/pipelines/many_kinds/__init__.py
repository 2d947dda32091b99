"""How are pipelines of more kinds of devices bounded than can be listed?"""
