"""How do results look on paper? One file per figure: rows of a table in, marks on axes out."""
