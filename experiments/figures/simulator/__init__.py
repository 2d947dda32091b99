"""How fast is the simulator itself?"""
