"""How is what ranks have trained together kept as one model?"""
