"""Which hybrid pipeline takes the least energy within a time, provably, and in which power modes?"""
