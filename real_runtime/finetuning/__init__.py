"""How is a model fine-tuned: what is added to its layers, what of it is trained, and what crosses a boundary then?"""
