"""How well does a model learn a task, by what is trained of it?"""
