"""Where should layers go after a loss, provably, if their migration takes time too?"""
