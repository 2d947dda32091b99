"""How does PAC look on paper, beside what its authors published?"""
